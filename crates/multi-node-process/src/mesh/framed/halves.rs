//! One direction each.

use std::{
    borrow::Borrow,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_sink::Sink;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Format, FrameError, MessagePack, incoming::Incoming, outgoing::Outgoing};

/// Messages of type `T` read from a transport: a [`Stream`], and [`recv`](FramedRead::recv).
///
/// Made by [`Framed::split`](super::Framed::split), or here from any reader.
pub struct FramedRead<R, T, F = MessagePack> {
    io: R,
    incoming: Incoming<T, F>,
}

impl<R, T, F> FramedRead<R, T, F> {
    /// Reads frames from `io`, with [`DEFAULT_FRAME_LIMIT`](super::DEFAULT_FRAME_LIMIT).
    pub fn new(io: R) -> Self {
        FramedRead::from_parts(io, Incoming::new())
    }

    pub(super) fn from_parts(io: R, incoming: Incoming<T, F>) -> Self {
        FramedRead { io, incoming }
    }

    /// Allows messages of at most `bytes` when encoded.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.incoming.set_limit(bytes);
        self
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.incoming.capacity()
    }

    /// The transport. What is read from it directly is missing from the frames.
    pub fn get_ref(&self) -> &R {
        &self.io
    }
}

impl<R: AsyncRead + Unpin, T: DeserializeOwned, F: Format> FramedRead<R, T, F> {
    /// The next message; `None` once the other side has ended the stream between two frames.
    ///
    /// Cancel-safe: a message is either returned or still to come.
    ///
    /// # Errors
    ///
    /// After [`FrameError::Undecodable`] the next call gives the next message. After any other error it gives `None`.
    pub async fn recv(&mut self) -> Result<Option<T>, FrameError> {
        poll_fn(|cx| self.incoming.poll_message(&mut self.io, cx)).await.transpose()
    }
}

impl<R: AsyncRead + Unpin, T: DeserializeOwned, F: Format> Stream for FramedRead<R, T, F> {
    type Item = Result<T, FrameError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.incoming.poll_message(&mut this.io, cx)
    }
}

impl<R: fmt::Debug, T, F> fmt::Debug for FramedRead<R, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedRead").field("io", &self.io).finish_non_exhaustive()
    }
}

/// Messages of type `T` written to a transport: a [`Sink`], and [`send`](FramedWrite::send).
///
/// Made by [`Framed::split`](super::Framed::split), or here from any writer.
pub struct FramedWrite<W, T, F = MessagePack> {
    io: W,
    outgoing: Outgoing<T, F>,
}

impl<W, T, F> FramedWrite<W, T, F> {
    /// Writes frames to `io`, with [`DEFAULT_FRAME_LIMIT`](super::DEFAULT_FRAME_LIMIT).
    pub fn new(io: W) -> Self {
        FramedWrite::from_parts(io, Outgoing::new())
    }

    pub(super) fn from_parts(io: W, outgoing: Outgoing<T, F>) -> Self {
        FramedWrite { io, outgoing }
    }

    /// Allows messages of at most `bytes` when encoded.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.outgoing.set_limit(bytes);
        self
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.outgoing.capacity()
    }

    /// The transport. What is written to it directly arrives between or inside frames.
    pub fn get_ref(&self) -> &W {
        &self.io
    }
}

impl<W: AsyncWrite + Unpin, T: Serialize, F: Format> FramedWrite<W, T, F> {
    /// Sends one message, given by value or by reference, and everything that was fed before it.
    ///
    /// Returns when the transport has taken it, so a slow reader on the other side holds the sender back. Each call
    /// costs a system call of its own: for a burst use [`feed`](FramedWrite::feed), then [`flush`](FramedWrite::flush).
    ///
    /// Not to be repeated when cancelled: the message may then be in the buffer, and go out, whole, with the next one.
    ///
    /// # Errors
    ///
    /// [`FrameError::Oversize`] and [`FrameError::Unencodable`] concern this message alone: nothing of it is sent, and
    /// the stream stays usable. [`FrameError::Io`] means that the other side is gone.
    pub async fn send(&mut self, message: impl Borrow<T>) -> Result<(), FrameError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Gathers one message, given by value or by reference, and writes only when 64 KiB have come together.
    ///
    /// Cancel-safe: the message is gathered in the moment in which this returns.
    ///
    /// # Errors
    ///
    /// As [`send`](FramedWrite::send).
    #[inline]
    pub async fn feed(&mut self, message: impl Borrow<T>) -> Result<(), FrameError> {
        poll_fn(|cx| self.outgoing.poll_room(&mut self.io, cx)).await?;
        self.outgoing.gather(message.borrow())
    }

    /// Writes all that was fed. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`FrameError::Io`] when the other side is gone.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        Ok(poll_fn(|cx| self.outgoing.poll_flush(&mut self.io, cx)).await?)
    }

    /// Writes all that was fed and ends the writing side: the reader gets `None` after the last message. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`FrameError::Io`] when the other side is gone.
    pub async fn close(&mut self) -> Result<(), FrameError> {
        Ok(poll_fn(|cx| self.outgoing.poll_close(&mut self.io, cx)).await?)
    }
}

impl<W: AsyncWrite + Unpin, T: Serialize, F: Format> Sink<T> for FramedWrite<W, T, F> {
    type Error = FrameError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        let this = self.get_mut();
        this.outgoing.poll_room(&mut this.io, cx).map_err(FrameError::from)
    }

    fn start_send(self: Pin<&mut Self>, message: T) -> Result<(), FrameError> {
        self.get_mut().outgoing.gather(&message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        let this = self.get_mut();
        this.outgoing.poll_flush(&mut this.io, cx).map_err(FrameError::from)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        let this = self.get_mut();
        this.outgoing.poll_close(&mut this.io, cx).map_err(FrameError::from)
    }
}

impl<W: fmt::Debug, T, F> fmt::Debug for FramedWrite<W, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedWrite").field("io", &self.io).finish_non_exhaustive()
    }
}
