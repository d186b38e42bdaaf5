//! One end of the control socket, for a task that reads and a task that writes.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::codec::{self, Decoder, Malformed};
use super::fd;
use super::kind::Skipped;
use super::reserve::Reserve;
use crate::Error;
use crate::shared_secret::Hidden;
use crate::sys;

/// How much is read at once; most messages are shorter.
const CHUNK: usize = 4096;

/// Makes a socket into a channel that reads `In` and writes `Out`.
pub fn channel<In, Out>(socket: StdUnixStream) -> io::Result<(Reader<In>, Writer<Out>)> {
    resume(Parts::of(socket))
}

/// A channel that was taken apart, to be resumed in this process or in another.
#[derive(Debug, Serialize, Deserialize)]
pub struct Parts {
    #[serde(with = "fd::owner")]
    pub socket: StdUnixStream,
    /// What was read and makes no whole message yet, and the descriptors that came with it.
    pub read: BytesMut,
    #[serde(with = "fd::owners")]
    pub read_fds: VecDeque<OwnedFd>,
    /// The frames that are still unwritten, in this order. A part of the first may have been written.
    pub unwritten: VecDeque<Frame>,
}

/// A message as it is written, or what is left of it.
#[derive(Serialize, Deserialize)]
pub struct Frame {
    pub bytes: Bytes,
    /// They go with the first byte.
    #[serde(with = "fd::owners")]
    pub fds: Vec<Arc<OwnedFd>>,
}

/// A welcome holds the shared secret.
impl fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Frame").field("bytes", &Hidden(&self.bytes)).field("fds", &self.fds).finish()
    }
}

impl Parts {
    /// A socket on which nothing has been said.
    pub fn of(socket: StdUnixStream) -> Parts {
        Parts { socket, read: BytesMut::new(), read_fds: VecDeque::new(), unwritten: VecDeque::new() }
    }
}

/// Takes a channel apart, without losing a byte of either direction.
pub fn take_apart<In, Out>(reader: Reader<In>, writer: Writer<Out>) -> io::Result<Parts> {
    let Writer { socket, unwritten, .. } = writer;
    drop(socket);
    let Decoder { bytes: read, fds: read_fds, .. } = reader.decoder;
    let socket = Arc::into_inner(reader.socket).ok_or_else(|| io::Error::other("the channel is in use"))?;
    Ok(Parts { socket: socket.into_std()?, read, read_fds, unwritten })
}

/// Continues a channel where it was left.
pub fn resume<In, Out>(parts: Parts) -> io::Result<(Reader<In>, Writer<Out>)> {
    let Parts { socket, read, read_fds, unwritten } = parts;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UnixStream::from_std(socket)?);
    let decoder = Decoder { bytes: read, fds: read_fds, ..Decoder::default() };
    let reader = Reader { socket: socket.clone(), decoder, reserve: Reserve::default(), message: PhantomData };
    Ok((reader, Writer { socket, buffer: BytesMut::new(), unwritten, message: PhantomData }))
}

/// The reading side.
#[derive(Debug)]
pub struct Reader<In> {
    socket: Arc<UnixStream>,
    decoder: Decoder,
    /// For the descriptors that come; empty unless the reader is given one.
    pub reserve: Reserve,
    message: PhantomData<fn() -> In>,
}

impl<In> Reader<In> {
    /// Counts the messages that are skipped from now on.
    pub fn count_skipped(&mut self, skipped: Skipped) {
        self.decoder.skipped = skipped;
    }
}

impl<In: DeserializeOwned> Reader<In> {
    /// The next message; `None` once the other side is gone. One that went in the middle of a message, or without
    /// having read all of ours, makes an error for which [`is_end`] holds. Cancel-safe: what was half read is kept.
    pub async fn next(&mut self) -> io::Result<Option<In>> {
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
    pub fn next_arrived(&mut self) -> io::Result<Option<In>> {
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
        let length = if self.reserve.keeps_room() { self.make_room(&mut chunk)? } else { CHUNK };
        let received = sys::socket::receive(self.socket.as_fd(), &mut chunk[..length])?;
        let count = received.bytes;
        self.decoder.take(&chunk, received);
        Ok(count)
    }

    /// Makes room for the descriptors of what has come, and for no more: each costs two system calls. Returns how much may be read in that room.
    fn make_room(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        // What the last message brought may be no stream, for which room was kept.
        self.reserve.refill();
        let peeked = sys::socket::peek_message(self.socket.as_fd(), chunk)?;
        if peeked.brings_fds {
            self.reserve.lend(self.decoder.announced(&chunk[..peeked.bytes]));
        }
        Ok(peeked.bytes)
    }
}

/// The writing side.
#[derive(Debug)]
pub struct Writer<Out> {
    socket: Arc<UnixStream>,
    buffer: BytesMut,
    unwritten: VecDeque<Frame>,
    message: PhantomData<fn(Out)>,
}

impl<Out: Serialize> Writer<Out> {
    /// Writes one message. Cancel-safe in so far as what was not written goes before the next message.
    pub async fn send(&mut self, message: Out) -> io::Result<()> {
        self.put(&message)?;
        self.flush().await
    }

    /// Leaves a message to be written by the next [`flush`](Writer::flush).
    pub fn put(&mut self, message: &Out) -> io::Result<()> {
        let fds = codec::encode(message, &mut self.buffer).map_err(malformed)?;
        self.unwritten.push_back(Frame { bytes: self.buffer.split().freeze(), fds });
        Ok(())
    }

    /// Writes what has been put. Cancel-safe.
    pub async fn flush(&mut self) -> io::Result<()> {
        while let Some(frame) = self.unwritten.front_mut() {
            let send = || frame.send(&self.socket);
            match self.socket.async_io(Interest::WRITABLE, send).await {
                Err(error) if sys::socket::too_many_in_flight(&error) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                other => frame.written(other?),
            }
            if frame.bytes.is_empty() {
                self.unwritten.pop_front();
            }
        }
        Ok(())
    }

    /// Writes as much of what has been put as the socket takes now.
    pub fn flush_now(&mut self) {
        while let Some(frame) = self.unwritten.front_mut()
            && let Ok(count) = frame.send(&self.socket)
        {
            frame.written(count);
            if frame.bytes.is_empty() {
                self.unwritten.pop_front();
            }
        }
    }
}

impl Frame {
    fn send(&self, socket: &UnixStream) -> io::Result<usize> {
        let fds: Vec<_> = self.fds.iter().map(AsFd::as_fd).collect();
        sys::socket::send(socket.as_fd(), &self.bytes, &fds)
    }

    fn written(&mut self, count: usize) {
        self.bytes.advance(count);
        // They went with the first byte.
        self.fds.clear();
    }
}

/// What an error of the control socket is to a node. A socket whose other side has died may say so in several ways.
pub fn broken(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::MasterGone,
        _ if is_end(error) => Error::MasterGone,
        _ => Error::Control { cause: error.to_string() },
    }
}

/// Whether the error says no more than that the other side is gone.
pub fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
}

pub(super) fn truncated(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, error)
}

pub(super) fn malformed(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
