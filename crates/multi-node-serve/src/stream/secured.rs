//! A connection with TLS, and the socket below it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use multi_node_tls::RecordBoundary;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::Transport;

/// A connection whose handshake is done.
pub(crate) type Secured = TlsStream<Records>;

/// What TLS reads its records from, and writes them to. This is the only place that sees the bytes before rustls does, so it knows whether
/// rustls holds a part of a record. Where it holds none, a connection could be taken apart, to go on in another process.
#[derive(Debug)]
pub(crate) struct Records {
    transport: Transport,
    /// What was read before the first record, such as behind a proxy's header.
    before: Bytes,
    boundary: RecordBoundary,
}

impl Records {
    pub(crate) fn new(transport: Transport, before: Bytes) -> Records {
        Records { transport, before, boundary: RecordBoundary::default() }
    }

    /// Whether a part of a record has come. Otherwise nothing of a next one has been read from the socket.
    pub(super) fn has_part(&self) -> bool {
        !self.before.is_empty() || !self.boundary.is_between()
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn into_transport(self) -> Transport {
        self.transport
    }
}

impl AsyncRead for Records {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let filled = buffer.filled().len();
        let polled = match this.before.has_remaining() {
            true => {
                let count = this.before.len().min(buffer.remaining());
                buffer.put_slice(&this.before[..count]);
                this.before.advance(count);
                Poll::Ready(Ok(()))
            }
            false => Pin::new(&mut this.transport).poll_read(cx, buffer),
        };
        this.boundary.pass(&buffer.filled()[filled..]);
        polled
    }
}

impl AsyncWrite for Records {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}
