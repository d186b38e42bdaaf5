//! multi-node: one server program, run as several processes that serve one address.

mod bind;
#[cfg(multi_process)]
mod control;
mod environment;
mod error;
mod id;
mod listen;
mod mesh;
#[cfg(multi_process)]
mod node;
mod nodes;
mod options;
mod order;
mod serve;
mod signals;
mod single;
mod status;
#[cfg(multi_process)]
mod supervisor;
#[cfg(multi_process)]
mod sys;

pub use error::Error;
pub use id::{Generation, NodeId, Slot};
pub use listen::{Role, listen, role};
pub use mesh::{
    DEFAULT_FRAME_LIMIT, Format, FrameError, Framed, FramedRead, FramedWrite, Json, JsonFramed, MessagePack, Peer,
    PeerInfo, PeerReader, PeerWriter,
};
pub use nodes::{Handle, Nodes, StatusWatch};
pub use options::Options;
pub use order::{OrderError, ReloadReport, ScaleReport, SlotReload};
pub use serve::{
    Addr, Conn, ConnInfo, DrainSignal, Http, HttpBuilder, Listener, Raw, Servers, Stream, Tcp, http, http_with, raw,
    tcp, tcp_with,
};
pub use status::{Exit, SlotStatus, State, Status};

// The entries of the fuzz targets.
#[cfg(all(fuzzing, multi_process))]
#[doc(hidden)]
pub use control::decode_control;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use mesh::decode_step;
