//! Process to process: a stream between every two.

mod peer;
mod peers;

pub use peer::{Peer, PeerInfo, PeerReader, PeerWriter};
pub(crate) use peer::Transport;
pub(crate) use peers::{Arrivals, Peers, arrivals};
