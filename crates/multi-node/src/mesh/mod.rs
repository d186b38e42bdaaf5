//! Process to process: a stream between every two, and whole messages on it.

mod framed;
mod peer;
mod peers;

#[cfg(fuzzing)]
pub use framed::decode_step;
#[cfg(all(test, multi_process, not(fuzzing)))]
pub(crate) use framed::decode_step;
pub use framed::{
    DEFAULT_FRAME_LIMIT, Format, FrameError, Framed, FramedRead, FramedWrite, Json, JsonFramed, MessagePack,
};
#[cfg(multi_process)]
pub(crate) use peer::transport;
pub use peer::{Peer, PeerInfo, PeerReader, PeerWriter};
pub(crate) use peers::{Arrivals, Joined, Peers, Rejoin, Wish, arrivals};
