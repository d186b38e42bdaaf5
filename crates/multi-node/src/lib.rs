//! multi-node: one server program, run as several processes that serve one address.

// While the rooms are being filled.
#![allow(dead_code, unused_imports)]

#[cfg(multi_process)]
mod control;
mod error;
mod id;
mod mesh;
mod nodes;
mod options;
mod order;
mod serve;
mod status;
#[cfg(multi_process)]
mod supervisor;
#[cfg(multi_process)]
mod sys;

pub use error::Error;
pub use id::{Generation, NodeId, Slot};
pub use nodes::Handle;
pub use order::{OrderError, ReloadReport, ScaleReport, SlotReload};
pub use serve::{
    Addr, Conn, ConnInfo, DrainSignal, Http, HttpBuilder, Listener, Raw, Servers, Stream, Tcp, http, http_with, raw,
    tcp, tcp_with,
};
pub use status::{Exit, SlotStatus, State, Status};
