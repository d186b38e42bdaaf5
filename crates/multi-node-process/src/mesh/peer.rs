//! Another process of the program, and the stream to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::framed::{Framed, FramedRead, FramedWrite, JsonFramed};
use crate::id::{NodeId, Slot};

/// What carries a peer's bytes. Without nodes there are no peers, but the type is the same for programs.
#[cfg(multi_process)]
pub(super) type Transport = tokio::net::UnixStream;
#[cfg(not(multi_process))]
pub type Transport = tokio::io::DuplexStream;

/// Makes one end of a socket pair into what carries a peer's bytes.
#[cfg(multi_process)]
pub fn transport(fd: std::os::fd::OwnedFd) -> io::Result<Transport> {
    Transport::from_std(std::os::unix::net::UnixStream::from(fd))
}

/// Who another process of the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeerInfo {
    id: NodeId,
    slot: Option<Slot>,
    pid: u32,
    #[serde(default)]
    pub(super) draining: bool,
    /// How many streams the two processes had before.
    #[serde(default)]
    epoch: u64,
}

impl PeerInfo {
    /// A process that serves.
    #[doc(hidden)]
    pub fn new(id: NodeId, slot: Option<Slot>, pid: u32) -> PeerInfo {
        PeerInfo { id, slot, pid, draining: false, epoch: 0 }
    }

    /// The same after this number of streams.
    #[doc(hidden)]
    #[must_use]
    pub fn with_epoch(self, epoch: u64) -> PeerInfo {
        PeerInfo { epoch, ..self }
    }

    /// From now on it drains.
    #[doc(hidden)]
    pub fn drains(&mut self) {
        self.draining = true;
    }

    /// The process's identity, never used again after its end.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The slot that it fills; `None` for the master.
    pub fn slot(&self) -> Option<Slot> {
        self.slot
    }

    /// The operating system's name for it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is the master.
    pub fn is_master(&self) -> bool {
        self.id.is_master()
    }

    /// How many streams this process has had to it before: 0, but after `Handle::rejoin`.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it was draining when this was asked: it finishes what it has, and takes no new clients.
    pub fn is_draining(&self) -> bool {
        self.draining
    }
}

/// A two-way byte stream to another process of the program.
///
/// It can be written to at once, also before the other side has looked at it: what is written waits in the socket's
/// buffer (about 200 KiB, `net.core.wmem_default`), and when that is full the writer waits. When the other process ends
/// or drops its side, reading ends (after what was sent before), and writing is an error of kind `BrokenPipe`. The
/// process that takes its place arrives as a new `Peer`, with a new [`id`](Peer::id).
///
/// One message is not one read: [`framed`](Peer::framed) keeps messages whole.
#[derive(Debug)]
pub struct Peer {
    info: PeerInfo,
    stream: Transport,
    draining: watch::Receiver<bool>,
}

impl Peer {
    pub(super) fn new(info: PeerInfo, stream: Transport, draining: watch::Receiver<bool>) -> Peer {
        Peer { info, stream, draining }
    }

    /// The process at the other end.
    pub fn info(&self) -> PeerInfo {
        self.info
    }

    /// The other process's identity.
    pub fn id(&self) -> NodeId {
        self.info.id
    }

    /// The slot that the other process fills; `None` for the master.
    pub fn slot(&self) -> Option<Slot> {
        self.info.slot
    }

    /// The operating system's name for the other process.
    pub fn pid(&self) -> u32 {
        self.info.pid
    }

    /// Whether the other process is the master.
    pub fn is_master(&self) -> bool {
        self.info.is_master()
    }

    /// Whether the other process drains now. Its stream stays open until it ends.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Resolves to `true` when the other process begins to drain, and to `false` when it ends without. The future does
    /// not borrow the peer, so it may be taken before [`framed`](Peer::framed) or [`into_split`](Peer::into_split).
    /// Cancel-safe.
    pub fn draining(&self) -> impl Future<Output = bool> + Send + 'static + use<> {
        let mut draining = self.draining.clone();
        async move { draining.wait_for(|drains| *drains).await.is_ok() }
    }

    /// Whole messages in both directions, as MessagePack with named fields.
    pub fn framed<T>(self) -> Framed<Peer, T> {
        Framed::new(self)
    }

    /// Whole messages as the 2010 library framed them: JSON text between the bytes 0x00 and 0xFF.
    pub fn frame_stream<T>(self) -> JsonFramed<Peer, T> {
        JsonFramed::new(self)
    }

    /// The socket itself, for an event loop that is not tokio's. It does not block, and is closed on exec.
    ///
    /// # Errors
    /// What the system says where it cannot be taken from this runtime.
    #[cfg(multi_process)]
    pub fn into_fd(self) -> io::Result<std::os::fd::OwnedFd> {
        Ok(self.stream.into_std()?.into())
    }

    /// Takes the two directions apart, for a task each. Dropping the writer ends the other side's reading.
    pub fn into_split(self) -> (PeerReader, PeerWriter) {
        #[cfg(multi_process)]
        let (reader, writer) = self.stream.into_split();
        #[cfg(not(multi_process))]
        let (reader, writer) = tokio::io::split(self.stream);
        (PeerReader { info: self.info, half: reader }, PeerWriter { info: self.info, half: writer })
    }
}

#[cfg(multi_process)]
type ReadHalf = tokio::net::unix::OwnedReadHalf;
#[cfg(multi_process)]
type WriteHalf = tokio::net::unix::OwnedWriteHalf;
#[cfg(not(multi_process))]
type ReadHalf = tokio::io::ReadHalf<Transport>;
#[cfg(not(multi_process))]
type WriteHalf = tokio::io::WriteHalf<Transport>;

/// The reading half of a [`Peer`].
#[derive(Debug)]
pub struct PeerReader {
    info: PeerInfo,
    half: ReadHalf,
}

impl PeerReader {
    /// Whole messages, as the other side's [`Peer::framed`] sends them.
    pub fn framed<T>(self) -> FramedRead<PeerReader, T> {
        FramedRead::new(self)
    }

    /// The process at the other end.
    pub fn info(&self) -> PeerInfo {
        self.info
    }
}

/// The writing half of a [`Peer`].
#[derive(Debug)]
pub struct PeerWriter {
    info: PeerInfo,
    half: WriteHalf,
}

impl PeerWriter {
    /// Whole messages, as the other side's [`Peer::framed`] reads them.
    pub fn framed<T>(self) -> FramedWrite<PeerWriter, T> {
        FramedWrite::new(self)
    }

    /// The process at the other end.
    pub fn info(&self) -> PeerInfo {
        self.info
    }
}

/// A process that ended before it had read everything shows as ECONNRESET, once what it had sent is read. For who reads
/// that is an end like any other.
fn to_the_end(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Poll::Ready(Ok(())),
        other => other,
    }
}

macro_rules! reads_through {
    ($type:ty, $field:ident) => {
        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                to_the_end(Pin::new(&mut self.$field).poll_read(cx, buf))
            }
        }
    };
}

macro_rules! writes_through {
    ($type:ty, $field:ident) => {
        impl AsyncWrite for $type {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$field.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$field).poll_shutdown(cx)
            }
        }
    };
}

reads_through!(Peer, stream);
writes_through!(Peer, stream);
reads_through!(PeerReader, half);
writes_through!(PeerWriter, half);
