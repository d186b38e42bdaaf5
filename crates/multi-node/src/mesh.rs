//! Streams between the processes of a program: each has a [`Peer`] for each other one, which [`Nodes::next_peer`](crate::Nodes::next_peer)
//! gives. Further streams are opened when they are needed, to processes of other machines too:
//! [`Handle::open_stream`](crate::Handle::open_stream). For most programs the messages of [`bus`](crate::bus) are the better tool.
//!
//! ```no_run
//! use multi_node::Nodes;
//!
//! # async fn f(mut nodes: Nodes) {
//! while let Some(peer) = nodes.next_peer().await {
//!     println!("there is a stream to {}", peer.id());
//! }
//! # }
//! ```

/// Typed messages over a stream.
///
/// ```no_run
/// use multi_node::mesh::{FrameError, Peer};
///
/// async fn greet(peer: Peer) -> Result<(), FrameError> {
///     let mut messages = peer.framed::<String>();
///     messages.send("hello".to_owned()).await?;
///     while let Some(text) = messages.recv().await? {
///         println!("{text}");
///     }
///     Ok(()) // the peer has ended
/// }
/// ```
#[doc(inline)]
pub use multi_node_process::mesh::Framed;
/// A stream to another process: `AsyncRead + AsyncWrite`.
///
/// ```no_run
/// use multi_node::mesh::Peer;
/// use tokio::io::AsyncWriteExt;
///
/// async fn ping(mut peer: Peer) -> std::io::Result<()> {
///     peer.write_all(b"ping").await
/// }
/// ```
#[doc(inline)]
pub use multi_node_process::mesh::Peer;
#[doc(inline)]
pub use multi_node_process::mesh::{
    DEFAULT_FRAME_LIMIT, Format, FrameError, FramedRead, FramedWrite, Json, JsonFramed, MessagePack, PeerInfo,
    PeerReader, PeerWriter,
};

#[doc(inline)]
pub use crate::nodes::RemotePeer;
#[doc(inline)]
pub use multi_node_bus::{ByteStream, IncomingStreams, StreamReset};
