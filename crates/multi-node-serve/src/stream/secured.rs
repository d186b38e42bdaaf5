//! A connection with TLS, and the socket below it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use multi_node_tls::RecordBoundary;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::Transport;

/// A connection whose handshake is done.
pub(crate) type Secured = TlsStream<Records>;

/// How many bytes are held back at most. rustls writes two tickets, of some hundred bytes.
const MOST_HELD: usize = 4096;

/// What TLS reads its records from, and writes them to. This is the only place that sees the bytes before rustls does, so it knows whether
/// rustls holds a part of a record. Where it holds none, a connection could be taken apart, to go on in another process.
///
/// In TLS 1.3 a server ends the handshake by tickets, for which no client waits. They are held back, and go out in one write with the first
/// answer, or when nothing is left to do but to wait for the client.
#[derive(Debug)]
pub(crate) struct Records {
    transport: Transport,
    /// What was read before the first record, such as behind a proxy's header.
    before: Bytes,
    boundary: RecordBoundary,
    is_shaking: bool,
    held: BytesMut,
    /// Something was written since the handshake. Who writes sees to the rest, since the socket wakes one task for writing.
    has_writer: bool,
    is_shut: bool,
}

impl Records {
    pub(crate) fn new(transport: Transport, before: Bytes) -> Records {
        let (boundary, held) = (RecordBoundary::default(), BytesMut::new());
        Records { transport, before, boundary, is_shaking: true, held, has_writer: false, is_shut: false }
    }

    /// The handshake is done.
    pub(super) fn end_handshake(&mut self) {
        self.is_shaking = false;
    }

    /// Whether a part of a record has come. Otherwise nothing of a next one has been read from the socket.
    pub(super) fn has_part(&self) -> bool {
        !self.before.is_empty() || !self.boundary.is_between()
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The socket, after what was held back for it: of a handshake that has failed, this is the reason.
    pub(crate) async fn into_transport(mut self) -> Transport {
        self.end_handshake();
        // A client that is gone reads no reason.
        let _ = self.flush().await;
        self.transport
    }

    /// The client has sent the first of its last messages of the handshake, so it waits for no more of it.
    fn holds_back(&self) -> bool {
        self.is_shaking && self.boundary.has_data()
    }

    /// Writes what is held back, for who writes or closes.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_writer |= !self.is_shaking;
        self.poll_held(cx)
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held.has_remaining() {
            match ready!(Pin::new(&mut self.transport).poll_write(cx, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.held.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes bytes to those that are held back, as far as there is room.
    fn poll_hold(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.held.len() >= MOST_HELD {
            ready!(self.poll_release(cx))?;
        }
        let before = self.held.len();
        for slice in slices {
            let room = MOST_HELD - self.held.len();
            self.held.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let count = self.held.len() - before;
        if !self.holds_back()
            && let Poll::Ready(Err(error)) = self.poll_release(cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
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
        // An error of the write comes with the next one.
        if polled.is_pending() && !this.has_writer && this.poll_held(cx).is_ready() {
            this.held.clear();
        }
        polled
    }
}

impl AsyncWrite for Records {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.holds_back() || self.held.has_remaining() {
            true => self.poll_hold(cx, &[io::IoSlice::new(bytes)]),
            false => Pin::new(&mut self.transport).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.holds_back() {
            ready!(self.poll_release(cx))?;
        }
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        if !self.is_shut {
            ready!(Pin::new(&mut self.transport).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// rustls mostly has one record to write, and `send` is cheaper than `writev`.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            _ if self.holds_back() || self.held.has_remaining() => self.poll_hold(cx, slices),
            [one] => Pin::new(&mut self.transport).poll_write(cx, one),
            _ => Pin::new(&mut self.transport).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;

    const ENDS_HANDSHAKE: &[u8] = &[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 0, 0];

    /// A server's side, which has read this of the client, and the client.
    async fn after(read: &[u8]) -> (Records, UnixStream) {
        let (server, mut client) = UnixStream::pair().expect("sockets");
        let mut records = Records::new(Transport::Unix(server), Bytes::new());
        client.write_all(read).await.expect("there is room");
        records.read_exact(&mut vec![0; read.len()]).await.expect("it was sent");
        (records, client)
    }

    /// What the client has got, in one piece.
    fn got(client: &UnixStream) -> Vec<u8> {
        let mut buffer = [0; 64];
        client.try_read(&mut buffer).map_or_else(|_| Vec::new(), |count| buffer[..count].to_vec())
    }

    async fn wrote(records: &mut Records, bytes: &[u8]) {
        records.write_all(bytes).await.expect("there is room");
        records.flush().await.expect("there is room");
    }

    #[tokio::test]
    async fn tickets_go_out_with_the_first_answer() {
        let (mut records, client) = after(ENDS_HANDSHAKE).await;
        client.writable().await.expect("it is open");
        wrote(&mut records, b"tickets ").await;
        assert_eq!(got(&client), b"");
        records.end_handshake();
        wrote(&mut records, b"answer ").await;
        client.readable().await.expect("it is open");
        assert_eq!(got(&client), b"tickets answer ");
        wrote(&mut records, b"another").await;
        client.readable().await.expect("it is open");
        assert_eq!(got(&client), b"another");
    }

    #[tokio::test]
    async fn tickets_go_out_while_the_client_is_waited_for() {
        let (mut records, mut client) = after(ENDS_HANDSHAKE).await;
        wrote(&mut records, b"tickets").await;
        records.end_handshake();
        let mut tickets = [0; 7];
        tokio::select! {
            more = records.read_u8() => panic!("the client sends no more: {more:?}"),
            done = client.read_exact(&mut tickets) => done.expect("it is open"),
        };
        assert_eq!(&tickets, b"tickets");
    }

    #[tokio::test]
    async fn a_reader_takes_no_wake_up_from_a_writer() {
        let (mut records, mut client) = after(ENDS_HANDSHAKE).await;
        wrote(&mut records, b"tickets").await;
        records.end_handshake();
        let Transport::Unix(server) = records.transport() else { panic!("it is a Unix socket") };
        server.writable().await.expect("it is open");
        while server.try_write(&[0; 65536]).is_ok() {}
        let (mut read, mut write) = tokio::io::split(records);
        let writer = tokio::spawn(async move {
            write.write_all(b"answer").await?;
            write.shutdown().await
        });
        tokio::task::yield_now().await;
        let reader = tokio::spawn(async move { read.read_u8().await });
        tokio::task::yield_now().await;
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.expect("it is open");
        assert!(all.ends_with(b"ticketsanswer"));
        writer.await.expect("no panic").expect("there is room");
        drop(client);
        reader.await.expect("no panic").expect_err("the client has sent nothing");
    }

    #[tokio::test]
    async fn what_a_client_waits_for_is_not_held_back() {
        let (mut records, client) = after(&[22, 3, 1, 0, 1, 0]).await;
        wrote(&mut records, b"flight").await;
        client.readable().await.expect("it is open");
        assert_eq!(got(&client), b"flight");
    }

    #[tokio::test]
    async fn a_failed_handshake_says_why_before_the_end() {
        let (mut records, client) = after(ENDS_HANDSHAKE).await;
        // rustls writes the reason once, with what it has not written yet.
        let pieces = [io::IoSlice::new(b"tickets "), io::IoSlice::new(b"alert")];
        assert_eq!(records.write_vectored(&pieces).await.expect("there is room"), 13);
        let _transport = records.into_transport().await;
        client.readable().await.expect("it is open");
        assert_eq!(got(&client), b"tickets alert");
    }

    #[tokio::test]
    async fn more_than_tickets_is_not_held_back() {
        let (mut records, mut client) = after(ENDS_HANDSHAKE).await;
        let much = vec![7; 3 * MOST_HELD];
        wrote(&mut records, &much).await;
        let mut most = vec![0; 2 * MOST_HELD];
        client.read_exact(&mut most).await.expect("it is open");
        records.end_handshake();
        records.shutdown().await.expect("it is open");
        records.shutdown().await.expect("a second time it does nothing");
        client.read_to_end(&mut most).await.expect("it is open");
        assert_eq!(most, much);
    }
}
