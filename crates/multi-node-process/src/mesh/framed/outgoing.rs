//! The sending side: messages gathered in a bounded buffer, and written together.

use std::{
    io,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use serde::Serialize;
use tokio::io::AsyncWrite;

use super::{CHUNK, DEFAULT_FRAME_LIMIT, Format, FrameError, KEEP, format::encode_step};

/// What has been sent by the program and not yet been taken by the transport: less than [`CHUNK`] bytes and one message.
pub(super) struct Outgoing<T, F> {
    buffer: Vec<u8>,
    written: usize,
    limit: usize,
    message: PhantomData<fn(T, F)>,
}

impl<T, F> Outgoing<T, F> {
    pub(super) fn new() -> Self {
        Outgoing { buffer: Vec::new(), written: 0, limit: DEFAULT_FRAME_LIMIT, message: PhantomData }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Ready when one more message may be gathered: at once, or when a full buffer has been written.
    #[inline]
    pub(super) fn poll_room<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.len() < CHUNK { Poll::Ready(Ok(())) } else { self.poll_drain(io, cx) }
    }

    /// Writes all that was gathered and flushes the transport.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    /// Writes all that was gathered and ends the transport's writing side.
    pub(super) fn poll_close<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(io, cx))?;
        Pin::new(io).poll_shutdown(cx)
    }

    fn poll_drain<W: AsyncWrite + Unpin>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            match ready!(Pin::new(&mut *io).poll_write(cx, &self.buffer[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.written += taken,
            }
        }
        self.written = 0;
        self.buffer.clear();
        self.buffer.shrink_to(KEEP);
        Poll::Ready(Ok(()))
    }
}

impl<T: Serialize, F: Format> Outgoing<T, F> {
    /// Gathers one message. After an error nothing of it is in the buffer, and the next one can be gathered.
    #[inline]
    pub(super) fn gather(&mut self, message: &T) -> Result<(), FrameError> {
        encode_step::<F, T>(message, self.limit, &mut self.buffer)
    }
}
