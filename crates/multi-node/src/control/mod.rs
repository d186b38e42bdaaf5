//! The conversation of a master with each of its nodes: facts and orders over one Unix socket, which also carries
//! file descriptors. `docs/control-protocol.md` tells it whole.

mod blocking;
mod channel;
mod codec;
mod message;
mod reserve;

pub(crate) use blocking::Blocking;
pub(crate) use channel::{Frame, Parts, Reader, Writer, channel, is_end, resume, take_apart};
pub(crate) use codec::Malformed;
#[cfg(any(fuzzing, test))]
#[allow(unreachable_pub)] // the fuzz targets reach it
pub use codec::decode_control;
pub(crate) use message::{
    Drained, Exec, Fds, Join, NodeSettings, SocketKind, ToMaster, ToNode, VERSIONS, Versions, Welcome,
};
pub(crate) use reserve::Reserve;
