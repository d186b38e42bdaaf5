//! What the program holds of a stream.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};

use multi_node_fleet::id::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, oneshot};

use super::{StreamReset, Streams};
use crate::remote::RemoteProcess;

/// A two-way byte stream to another process, of this machine or another one: what one end writes the other reads, in order and whole, or
/// the stream ends with a [`StreamReset`], at both ends.
///
/// Shutting the writing side down (`AsyncWriteExt::shutdown`) ends the other side's reading, and both may go on in the other direction.
/// Dropping it sends what was written before; what still comes from the other side is thrown away, and its writes fail.
///
/// What is written is on its way at once, 384 KiB ahead of the reader at most; then the writer waits. That a write has
/// returned does not mean that the other process has the bytes.
#[derive(Debug)]
pub struct ByteStream {
    pub(super) peer: NodeId,
    pub(super) remote: Option<RemoteProcess>,
    pub(super) read: DuplexStream,
    pub(super) write: DuplexStream,
    pub(super) ends: Arc<Ends>,
    /// Its end tells the stream's task that this was dropped.
    pub(super) _held: oneshot::Sender<()>,
}

/// Why a direction has ended before its time.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) read: OnceLock<StreamReset>,
    pub(super) write: OnceLock<StreamReset>,
}

impl ByteStream {
    /// The process at the other end.
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Which process of another machine is at the other end. `None`: one of this machine.
    pub fn remote(&self) -> Option<&RemoteProcess> {
        self.remote.as_ref()
    }

    /// Whether both ends are on this machine.
    pub fn is_local(&self) -> bool {
        self.remote.is_none()
    }

    /// Why the stream has ended before its time, if it has.
    pub fn reset(&self) -> Option<StreamReset> {
        self.ends.write.get().or(self.ends.read.get()).copied()
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.read).poll_read(cx, buf))?;
        let is_end = buf.filled().len() == before && buf.remaining() > 0;
        Poll::Ready(match self.ends.read.get() {
            Some(reset) if is_end => Err((*reset).into()),
            _ => Ok(()),
        })
    }
}

impl ByteStream {
    fn written<T>(&self, written: io::Result<T>) -> io::Result<T> {
        written.map_err(|error| self.ends.write.get().map_or(error, |reset| (*reset).into()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.write).poll_write(cx, buf));
        Poll::Ready(self.written(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}

/// The streams that other processes open to this one, as long as this is held.
#[derive(Debug)]
pub struct IncomingStreams {
    pub(super) streams: Weak<Streams>,
    pub(super) incoming: mpsc::Receiver<ByteStream>,
}

impl IncomingStreams {
    /// The next stream. `None`: the process ends, or has begun to accept by another of these. Cancel-safe.
    pub async fn accept(&mut self) -> Option<ByteStream> {
        self.incoming.recv().await
    }
}

impl Drop for IncomingStreams {
    fn drop(&mut self) {
        if let Some(streams) = self.streams.upgrade() {
            self.incoming.close();
            streams.accepts_no_more();
        }
    }
}
