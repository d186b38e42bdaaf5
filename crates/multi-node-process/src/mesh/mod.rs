//! Process to process: a stream between every two, and whole messages on it.

mod framed;
mod peer;
mod peers;

pub use framed::{
    DEFAULT_FRAME_LIMIT, Format, FrameError, Framed, FramedRead, FramedWrite, Json, JsonFramed, MessagePack,
    decode_step,
};
#[cfg(multi_process)]
pub use peer::transport;
pub use peer::{Peer, PeerInfo, PeerReader, PeerWriter};
pub use peers::{Arrivals, Joined, Peers, Rejoin, Wish, arrivals};
