//! The conversation of a master with each of its nodes: facts and orders over one Unix socket, which also carries
//! file descriptors. `docs/control-protocol.md` tells it whole.

mod blocking;
mod channel;
mod codec;
mod kind;
mod message;
mod reserve;
#[cfg(test)]
mod transcript_tests;

pub(crate) use blocking::Blocking;
pub(crate) use channel::{Frame, Parts, Reader, Writer, channel, is_end, resume, take_apart};
pub(crate) use codec::Malformed;
#[cfg(any(fuzzing, test))]
#[allow(unreachable_pub)] // the fuzz targets reach it
pub use codec::decode_control;
pub(crate) use kind::Skipped;
pub(crate) use message::{
    Exec, Fds, GREETS, Join, NodeSettings, SocketKind, ToMaster, ToNode, VERSIONS, Versions, Welcome, capabilities,
};
pub(crate) use reserve::Reserve;
#[cfg(test)]
pub(crate) use transcript_tests::assert_understood;
