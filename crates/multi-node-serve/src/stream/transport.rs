//! What carries the bytes of a connection.

use std::io;
#[cfg(multi_process)]
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
#[cfg(multi_process)]
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::UnregisteredStream;

/// A connection's socket, watched by this process's runtime.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Transport {
    /// Reads what is there, without waiting.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.try_read(buffer),
            #[cfg(unix)]
            Transport::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Waits until there are bytes, or the end.
    #[cfg(multi_process)]
    pub(super) async fn readable(&self) -> io::Result<Ready> {
        match self {
            Transport::Tcp(stream) => stream.ready(Interest::READABLE).await,
            Transport::Unix(stream) => stream.ready(Interest::READABLE).await,
        }
    }

    /// Asks `decide` whenever bytes have come, which stay unread. It gets up to `most` of them. `None`: it had no answer after this number of
    /// `times`, or at the end. Cancel-safe.
    #[cfg(multi_process)]
    pub(crate) async fn peeked<T>(
        &self,
        most: usize,
        times: usize,
        decide: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        for _ in 0..times {
            let ready = self.readable().await?;
            match self.peek(most, &decide) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                decided => return decided.map(Some),
            }
        }
        Ok(None)
    }

    /// Decides by the first bytes, which stay unread. `WouldBlock`: more are needed.
    #[cfg(multi_process)]
    fn peek<T>(&self, most: usize, decide: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
        let look = |socket| {
            let mut buffer = vec![0; most];
            let count = multi_node_sys::socket::peek(socket, &mut buffer)?;
            decide(&buffer[..count]).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        };
        match self {
            Transport::Tcp(stream) => stream.try_io(Interest::READABLE, || look(stream.as_fd())),
            Transport::Unix(stream) => stream.try_io(Interest::READABLE, || look(stream.as_fd())),
        }
    }

    pub(crate) fn leave_runtime(self) -> io::Result<UnregisteredStream> {
        Ok(match self {
            Transport::Tcp(stream) => UnregisteredStream::Tcp(stream.into_std()?),
            #[cfg(unix)]
            Transport::Unix(stream) => UnregisteredStream::Unix(stream.into_std()?),
        })
    }
}

/// Forwards a call to whichever stream it is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
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

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
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
        match self {
            Transport::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Transport::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
