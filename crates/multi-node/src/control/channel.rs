//! One end of the control socket, for a task that reads and a task that writes.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::codec::{self, Decoder, Malformed};
use super::message::Fds;
use super::reserve::Reserve;
use crate::sys;

/// How much is read at once; most messages are shorter.
const CHUNK: usize = 4096;

/// Makes a socket into a channel that reads `In` and writes `Out`.
pub(crate) fn channel<In, Out>(socket: StdUnixStream) -> io::Result<(Reader<In>, Writer<Out>)> {
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UnixStream::from_std(socket)?);
    let reader = Reader {
        socket: socket.clone(),
        decoder: Decoder::default(),
        reserve: Reserve::default(),
        message: PhantomData,
    };
    Ok((reader, Writer { socket, buffer: BytesMut::new(), message: PhantomData }))
}

/// The reading side.
#[derive(Debug)]
pub(crate) struct Reader<In> {
    socket: Arc<UnixStream>,
    decoder: Decoder,
    /// For the descriptors that come; empty unless the reader is given one.
    pub(crate) reserve: Reserve,
    message: PhantomData<fn() -> In>,
}

impl<In: DeserializeOwned + Fds> Reader<In> {
    /// The next message; `None` once the other side is gone. One that went in the middle of a message, or without
    /// having read all of ours, makes an error for which [`is_end`] holds. Cancel-safe: what was half read is kept.
    pub(crate) async fn next(&mut self) -> io::Result<Option<In>> {
        loop {
            if let Some(message) = self.decoder.next().map_err(malformed)? {
                return Ok(Some(message));
            }
            let socket = self.socket.clone();
            if socket.async_io(Interest::READABLE, || self.fill()).await? == 0 {
                return self.decoder.end().map(|()| None).map_err(truncated);
            }
        }
    }

    /// The next message that has arrived already, for one who will not wait.
    pub(crate) fn next_arrived(&mut self) -> io::Result<Option<In>> {
        loop {
            if let Some(message) = self.decoder.next().map_err(malformed)? {
                return Ok(Some(message));
            }
            match self.fill() {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        self.reserve.lend();
        let received = sys::socket::receive(self.socket.as_fd(), &mut chunk);
        self.reserve.refill();
        let received = received?;
        let count = received.bytes;
        self.decoder.take(&chunk, received);
        Ok(count)
    }
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct Writer<Out> {
    socket: Arc<UnixStream>,
    buffer: BytesMut,
    message: PhantomData<fn(Out)>,
}

impl<Out: Serialize + Fds> Writer<Out> {
    /// Writes one message. Not cancel-safe: a message that was half written spoils the channel.
    pub(crate) async fn send(&mut self, mut message: Out) -> io::Result<()> {
        let mut fds = message.take_fds();
        self.buffer.clear();
        codec::encode(&message, fds.len(), &mut self.buffer).map_err(malformed)?;
        let mut written = 0;
        while written < self.buffer.len() {
            written += self.write(&self.buffer[written..], &fds).await?;
            // They went with the first byte.
            fds.clear();
        }
        Ok(())
    }

    async fn write(&self, bytes: &[u8], fds: &[OwnedFd]) -> io::Result<usize> {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let send = || sys::socket::send(self.socket.as_fd(), bytes, &fds);
        loop {
            match self.socket.async_io(Interest::WRITABLE, send).await {
                Err(error) if sys::socket::too_many_in_flight(&error) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                other => return other,
            }
        }
    }
}

/// Whether the error says no more than that the other side is gone.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
}

pub(super) fn truncated(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, error)
}

pub(super) fn malformed(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
