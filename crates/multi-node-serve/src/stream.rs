//! A connection as the application gets it, and the count of those that are open.

use std::future::Future;
use std::io::{self, Read};
#[cfg(multi_process)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::drain::DrainSignal;
use super::load::Line;
use super::socket::Addr;

/// One accepted connection, over TCP or a Unix socket. It counts as open until this is dropped.
#[derive(Debug)]
pub struct Stream {
    io: Transport,
    open: Open,
    /// This side's address, if the listening socket's address already determines it.
    local: Option<Addr>,
}

#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn new(io: Transport, open: Open, local: Option<Addr>) -> Stream {
        Stream { io, open, local }
    }

    /// The stream below, where it is TCP: for socket options.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match &self.io {
            Transport::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            Transport::Unix(_) => None,
        }
    }

    /// This side's address.
    ///
    /// # Errors
    ///
    /// What the system says, such as that the connection has been reset.
    pub fn local_addr(&self) -> io::Result<Addr> {
        match (self.local, &self.io) {
            (Some(local), _) => Ok(local),
            (None, Transport::Tcp(stream)) => stream.local_addr().map(Addr::Tcp),
            #[cfg(unix)]
            (None, Transport::Unix(_)) => Ok(Addr::Unix),
        }
    }

    /// Holds a place among the allowed connections until the stream is dropped.
    pub(super) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.open.permit = Some(permit);
    }

    /// Reads what is there, without waiting.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.io {
            Transport::Tcp(stream) => stream.try_read(buffer),
            #[cfg(unix)]
            Transport::Unix(stream) => stream.try_read(buffer),
        }
    }
}

/// How a client has ended its side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It sends no more, and may read still.
    HalfClosed,
    /// It is gone.
    Reset,
}

impl Stream {
    /// Looks for the client's end without reading. Ready without one where bytes wait; then it is not looked for further.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
        match &self.io {
            Transport::Tcp(stream) => stream.poll_read_ready(cx).map(|ready| end(&ready, stream.ready(BOTH))),
            #[cfg(unix)]
            Transport::Unix(stream) => stream.poll_read_ready(cx).map(|ready| end(&ready, stream.ready(BOTH))),
        }
    }
}

/// What it means that a connection can be read from. A write to it fails at once only where the client has reset it.
fn end(readable: &io::Result<()>, state: impl Future<Output = io::Result<Ready>>) -> Option<End> {
    let now = pin!(state).poll(&mut Context::from_waker(Waker::noop()));
    match (readable, now) {
        (Err(_), _) | (_, Poll::Ready(Err(_))) => Some(End::Reset),
        (Ok(()), Poll::Ready(Ok(ready))) if ready.is_write_closed() => Some(End::Reset),
        (Ok(()), Poll::Ready(Ok(ready))) if ready.is_read_closed() => Some(End::HalfClosed),
        (Ok(()), _) => None,
    }
}

impl Stream {
    /// Waits for bytes, or the end.
    #[cfg(multi_process)]
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.io {
            Transport::Tcp(stream) => stream.readable().await,
            Transport::Unix(stream) => stream.readable().await,
        }
    }

    /// Ends the runtime's watch over the connection. One for which that fails is dropped.
    pub(super) fn leave_runtime(self) -> io::Result<(UnregisteredStream, Open)> {
        let socket = match self.io {
            Transport::Tcp(stream) => UnregisteredStream::Tcp(stream.into_std()?),
            #[cfg(unix)]
            Transport::Unix(stream) => UnregisteredStream::Unix(stream.into_std()?),
        };
        Ok((socket, self.open))
    }
}

/// A connection that no runtime watches. It does not block.
#[derive(Debug)]
pub(super) enum UnregisteredStream {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl UnregisteredStream {
    /// Lets this runtime watch it.
    pub(super) fn register(self, open: Open) -> io::Result<Stream> {
        let io = match self {
            UnregisteredStream::Tcp(stream) => Transport::Tcp(TcpStream::from_std(stream)?),
            #[cfg(unix)]
            UnregisteredStream::Unix(stream) => Transport::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Stream { io, open, local: None })
    }

    /// Reads what is there, without waiting.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            UnregisteredStream::Tcp(stream) => (&*stream).read(buffer),
            #[cfg(unix)]
            UnregisteredStream::Unix(stream) => (&*stream).read(buffer),
        }
    }

    /// Whether something waits to be read, which may be the end.
    #[cfg(multi_process)]
    pub(super) fn has_bytes(&self) -> bool {
        multi_node_sys::socket::is_readable(self.file())
    }

    #[cfg(multi_process)]
    pub(super) fn try_clone(&self) -> io::Result<OwnedFd> {
        self.file().try_clone_to_owned()
    }

    #[cfg(multi_process)]
    pub(super) fn local_addr(&self) -> io::Result<Addr> {
        match self {
            UnregisteredStream::Tcp(stream) => stream.local_addr().map(Addr::Tcp),
            UnregisteredStream::Unix(_) => Ok(Addr::Unix),
        }
    }

    #[cfg(multi_process)]
    pub(super) fn peer_addr(&self) -> io::Result<Addr> {
        match self {
            UnregisteredStream::Tcp(stream) => stream.peer_addr().map(Addr::Tcp),
            UnregisteredStream::Unix(_) => Ok(Addr::Unix),
        }
    }

    #[cfg(multi_process)]
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        match self {
            UnregisteredStream::Tcp(stream) => stream.as_fd(),
            UnregisteredStream::Unix(stream) => stream.as_fd(),
        }
    }
}

#[cfg(multi_process)]
impl From<OwnedFd> for UnregisteredStream {
    fn from(socket: OwnedFd) -> UnregisteredStream {
        match multi_node_sys::socket::is_unix(socket.as_fd()) {
            true => UnregisteredStream::Unix(socket.into()),
            false => UnregisteredStream::Tcp(socket.into()),
        }
    }
}

#[cfg(unix)]
impl From<UnregisteredStream> for std::os::fd::OwnedFd {
    fn from(socket: UnregisteredStream) -> std::os::fd::OwnedFd {
        match socket {
            UnregisteredStream::Tcp(stream) => stream.into(),
            UnregisteredStream::Unix(stream) => stream.into(),
        }
    }
}

/// Forwards a call to whichever stream it is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().io {
            Transport::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            #[cfg(unix)]
            Transport::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Transport::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Transport::Unix(stream) => stream.is_write_vectored(),
        }
    }
}

/// One open connection in the counts, until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    tracker: Arc<ConnTracker>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether it continues in another process.
    leaves: bool,
}

/// What all connections of the process share: where they are counted, and who wants to know of their end.
#[derive(Debug)]
pub(super) struct ConnTracker {
    pub(super) line: Line,
    /// Notified when no connection is open any more.
    empty: Notify,
    /// Connections that other processes have taken over.
    handed_off: AtomicU64,
    /// Connections that were open still at the end of the drain.
    aborted: AtomicU64,
    drain: DrainSignal,
    #[cfg(multi_process)]
    pub(super) acceptor: Option<super::acceptor::Acceptor>,
}

impl ConnTracker {
    #[cfg(multi_process)]
    pub(super) fn new(line: Line, drain: DrainSignal, acceptor: Option<super::acceptor::Acceptor>) -> Arc<ConnTracker> {
        let (empty, handed_off, aborted) = (Notify::new(), AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(ConnTracker { line, empty, handed_off, aborted, drain, acceptor })
    }

    #[cfg(not(multi_process))]
    pub(super) fn new(line: Line, drain: DrainSignal) -> Arc<ConnTracker> {
        let (empty, handed_off, aborted) = (Notify::new(), AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(ConnTracker { line, empty, handed_off, aborted, drain })
    }

    /// Takes no more connections.
    pub(super) fn leave(&self) {
        self.line.end_serving();
        #[cfg(multi_process)]
        if let Some(acceptor) = &self.acceptor {
            acceptor.close();
        }
    }

    /// Counts a connection that was accepted.
    pub(super) fn enter(self: &Arc<Self>) -> Open {
        self.line.opened(self.now_ms());
        Open { tracker: self.clone(), permit: None, leaves: false }
    }

    /// Counts a connection that comes from another process, which holds a place where places are limited.
    pub(super) fn join(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Open {
        self.line.joined();
        Open { tracker: self.clone(), permit, leaves: false }
    }

    /// How many connections other processes have taken over.
    pub(super) fn handed_off(&self) -> u64 {
        self.handed_off.load(Relaxed)
    }

    /// How many connections were open at the end of the drain, those that are open still included.
    pub(super) fn aborted(&self) -> u64 {
        self.aborted.load(Relaxed) + self.line.open()
    }

    /// The time by which lines are compared; a process that is alone needs none.
    pub(super) fn now_ms(&self) -> u64 {
        #[cfg(multi_process)]
        if self.acceptor.is_some() {
            return multi_node_sys::epoll::monotonic_ms();
        }
        0
    }

    /// Waits until no connection is open.
    pub(super) async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.line.open() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for ConnTracker {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Open {
    /// The connection continues in another process.
    pub(super) fn handoff(mut self) {
        self.leaves = true;
        self.tracker.handed_off.fetch_add(1, Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.leaves && self.tracker.drain.is_over() {
            self.tracker.aborted.fetch_add(1, Relaxed);
        }
        if self.tracker.line.closed() == 0 {
            self.tracker.empty.notify_waiters();
        }
        #[cfg(multi_process)]
        if let Some(acceptor) = &self.tracker.acceptor {
            acceptor.left_one();
        }
    }
}

#[cfg(all(test, multi_process))]
#[path = "stream_tests.rs"]
mod tests;
