//! The protocol between a master and each of its nodes: facts and commands over one Unix socket, which also carries file
//! descriptors. `docs/internals/control-protocol.md` describes it completely.

mod blocking;
mod channel;
mod codec;
mod fd;
mod gateway_settings;
mod kind;
mod message;
mod message_pack;
mod passed_socket;
mod reserve;
#[cfg(test)]
mod transcript_tests;
#[cfg(any(test, feature = "testing"))]
mod transcripts;

pub use blocking::Blocking;
pub use channel::{Frame, Parts, Reader, Writer, broken, channel, is_end, resume, take_apart};
pub use codec::{Malformed, decode_control};
pub use fd::{Encoded, Fd, Mismatch, owner, owners, shared};
pub use gateway_settings::GatewaySettings;
pub use kind::Skipped;
pub use message::{
    BUS, Exec, GATEWAY, GREETS, HelloAck, Join, LATE_STREAMS, LEASES, LIMITS, NodeSettings, OFFERS, OFFERS_WHEN_BUSY,
    OWNERS, TLS, ToMaster, ToNode, VERSIONS, Versions, capabilities, has_capability,
};
pub use message_pack::{from_message_pack, to_message_pack};
pub use passed_socket::PassedSocket;
pub use reserve::Reserve;
#[cfg(feature = "testing")]
pub use transcripts::assert_understood;
