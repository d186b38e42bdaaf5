//! Internal to multi-node, without semver promises: one process answering; it accepts in turn with its siblings, serves, and drains.
//!
//! Nothing here knows of masters, control channels or the mesh. Where a process stands among others comes in as a
//! [`Place`]: its line of the load table and the doorbell that all share. What a program gives to its handlers is a [`Context`] that
//! nothing here looks into.

// What only several processes need stands by in the single-process build, so that each file is the same on every system.
#![cfg_attr(not(multi_process), allow(dead_code, unused_imports))]

#[cfg(multi_process)]
mod acceptor;
mod drain;
#[cfg(multi_process)]
mod entrance;
#[cfg(unix)]
mod external;
mod gate;
mod http;
mod intake;
mod linger;
mod listener;
mod load;
#[cfg(multi_process)]
mod lobby;
mod parcel;
mod places;
mod server;
mod serving;
mod socket;
mod stream;

#[cfg(multi_process)]
pub use acceptor::{bell, ring};
pub use drain::Drain;
pub use drain::DrainSignal;
#[cfg(multi_process)]
pub use entrance::{Entrance, pulse};
#[cfg(unix)]
pub use external::{Counted, External, Giver, Requests, Taken, Taker, external};
pub use http::{ConnInfo, Http, Http2Executor, HttpBuilder, RequestBody, RequestBodyError, http, http_with};
#[cfg(multi_process)]
pub use intake::{Intake, Reserved};
pub use listener::Listener;
pub use load::{Counts, Faults, Line, LoadTable};
#[cfg(multi_process)]
pub use parcel::Parcel;
#[cfg(test)]
pub(crate) use server::Here;
pub use server::{BoxError, Conn, Context, Raw, Servers, Tcp, raw, tcp, tcp_with};
#[cfg(multi_process)]
pub use serving::DrainReport;
pub use serving::{Place, Serving, start};
pub use socket::Addr;
pub use socket::Socket;
pub use stream::Stream;
