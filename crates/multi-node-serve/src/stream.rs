//! A connection as the application gets it.

mod count;
#[cfg(feature = "tls")]
mod secured;
mod transport;
mod unregistered;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

pub(super) use self::count::{ConnTracker, Open};
#[cfg(feature = "tls")]
pub(super) use self::secured::{Records, Secured};
pub(super) use self::transport::Transport;
pub(super) use self::unregistered::UnregisteredStream;
use super::socket::Addr;
use super::terminator::TlsInfo;

/// One accepted connection, over TCP or a Unix socket, with TLS or without. It counts as open until this is dropped.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    open: Open,
    /// This side's address, if the listening socket's address already determines it.
    local: Option<Addr>,
}

#[derive(Debug)]
enum Io {
    Plain(Transport),
    #[cfg(feature = "tls")]
    Tls(Box<Secured>),
}

impl Io {
    /// What carries the bytes.
    fn transport(&self) -> &Transport {
        match self {
            Io::Plain(transport) => transport,
            #[cfg(feature = "tls")]
            Io::Tls(secured) => secured.get_ref().0.transport(),
        }
    }
}

impl Stream {
    pub(super) fn new(io: Transport, open: Open, local: Option<Addr>) -> Stream {
        Stream { io: Io::Plain(io), open, local }
    }

    /// The stream below, where it is TCP: for socket options.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match self.io.transport() {
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
        match (self.local, self.io.transport()) {
            (Some(local), _) => Ok(local),
            (None, Transport::Tcp(stream)) => stream.local_addr().map(Addr::Tcp),
            #[cfg(unix)]
            (None, Transport::Unix(_)) => Ok(Addr::Unix),
        }
    }

    /// Holds a place among the allowed connections until the stream is dropped.
    pub(super) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.open.hold(permit);
    }

    /// Whether bytes may wait that are not read any more. Call it once, before the end: it may take a byte. Of TLS that is always
    /// assumed, since the client answers the end by an alert.
    pub(super) fn has_unread(&self) -> bool {
        match &self.io {
            Io::Plain(transport) => transport.try_read(&mut [0]).is_ok_and(|count| count > 0),
            #[cfg(feature = "tls")]
            Io::Tls(_) => true,
        }
    }
}

#[cfg(not(feature = "tls"))]
impl Stream {
    pub(super) fn agreed_protocol(&self) -> Option<&[u8]> {
        None
    }

    pub(super) fn has_part_of_record(&self) -> bool {
        false
    }

    pub(super) fn tls_info(&self) -> Option<TlsInfo> {
        None
    }
}

#[cfg(feature = "tls")]
impl Stream {
    /// The bytes, to be secured, and what makes a stream of them again.
    pub(super) fn into_parts(self) -> Option<(Transport, Open, Option<Addr>)> {
        match self.io {
            Io::Plain(transport) => Some((transport, self.open, self.local)),
            Io::Tls(_) => None,
        }
    }

    /// A connection whose handshake is done.
    pub(super) fn secured(mut secured: Secured, open: Open, local: Option<Addr>) -> Stream {
        secured.get_mut().0.end_handshake();
        Stream { io: Io::Tls(Box::new(secured)), open, local }
    }

    /// What is known of the connection by its handshake; `None` for one without TLS.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(secured) => Some(TlsInfo::of(secured.get_ref().1)),
        }
    }

    /// Whether a part of a TLS record has come whose rest is still to come. Nobody can read it until then.
    pub(super) fn has_part_of_record(&self) -> bool {
        match &self.io {
            Io::Plain(_) => false,
            Io::Tls(secured) => secured.get_ref().0.has_part(),
        }
    }

    /// How its handshake was; `None` for one without TLS.
    pub(super) fn handshake_kind(&self) -> Option<multi_node_tls::rustls::HandshakeKind> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(secured) => secured.get_ref().1.handshake_kind(),
        }
    }

    /// The protocol that both sides have agreed on in the handshake.
    pub(super) fn agreed_protocol(&self) -> Option<&[u8]> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(secured) => secured.get_ref().1.alpn_protocol(),
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
        match self.io.transport() {
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
    /// The socket; `None` with TLS, whose keys no other process knows.
    #[cfg(multi_process)]
    pub(super) fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        match &self.io {
            Io::Plain(Transport::Tcp(stream)) => Some(stream.as_fd()),
            Io::Plain(Transport::Unix(stream)) => Some(stream.as_fd()),
            #[cfg(feature = "tls")]
            Io::Tls(_) => None,
        }
    }

    /// Waits for bytes, or the end.
    #[cfg(multi_process)]
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.io.transport().readable().await.map(drop)
    }

    /// As [`Transport::peeked`].
    #[cfg(multi_process)]
    pub(super) async fn peeked<T>(
        &self,
        most: usize,
        times: usize,
        decide: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        self.io.transport().peeked(most, times, decide).await
    }

    /// Ends the runtime's watch over the connection. One for which that fails is dropped: a connection with TLS has keys that no
    /// other process knows.
    pub(super) fn leave_runtime(self) -> io::Result<(UnregisteredStream, Open)> {
        match self.io {
            Io::Plain(transport) => Ok((transport.leave_runtime()?, self.open)),
            #[cfg(feature = "tls")]
            Io::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Forwards a call to whichever stream it is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().io {
            Io::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            #[cfg(feature = "tls")]
            Io::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
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
            Io::Plain(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(all(test, multi_process))]
#[path = "stream_tests.rs"]
mod tests;
