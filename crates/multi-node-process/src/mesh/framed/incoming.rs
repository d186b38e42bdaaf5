//! The receiving side: a bounded buffer, and messages taken from it.

use std::{
    io,
    marker::PhantomData,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::coop,
};

use super::{CHUNK, DEFAULT_FRAME_LIMIT, Format, FrameError, KEEP, decode_step};

/// What has been read and not yet been taken.
///
/// The buffer grows with the bytes that really arrive, never by what a header announces, and holds at most one
/// unfinished frame and one read beyond it.
pub(super) struct Incoming<T, F> {
    buffer: BytesMut,
    scanned: usize,
    limit: usize,
    ended: bool,
    message: PhantomData<fn() -> (T, F)>,
}

impl<T, F> Incoming<T, F> {
    pub(super) fn new() -> Self {
        Incoming { buffer: BytesMut::new(), scanned: 0, limit: DEFAULT_FRAME_LIMIT, ended: false, message: PhantomData }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Room for the next read; a buffer that one huge message has blown up is exchanged once it is empty.
    fn make_room(&mut self) {
        self.buffer.reserve(CHUNK);
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP {
            self.buffer = BytesMut::with_capacity(CHUNK);
        }
    }

    fn poll_fill<R: AsyncRead + Unpin>(&mut self, io: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.make_room();
        // A future without state between polls may be recreated for each of them.
        pin!(io.read_buf(&mut self.buffer)).poll(cx)
    }

    /// What the end of the stream means where it came.
    fn at_end(&self) -> Option<Result<T, FrameError>> {
        let received = self.buffer.len();
        (received > 0).then_some(Err(FrameError::Truncated { received }))
    }
}

impl<T: DeserializeOwned, F: Format> Incoming<T, F> {
    /// The next message, out of the buffer while one is there, else from the transport.
    ///
    /// Each message takes one unit of the task's budget in tokio, so that a peer which never pauses cannot keep the
    /// other tasks of its runtime waiting.
    #[inline]
    pub(super) fn poll_message<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<T, FrameError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            if let Some(outcome) = decode_step::<F, T>(&mut self.buffer, self.limit, &mut self.scanned).transpose() {
                budget.made_progress();
                self.ended = outcome.as_ref().is_err_and(FrameError::ends_stream);
                return Poll::Ready(Some(outcome));
            }
            match ready!(self.poll_fill(io, cx)) {
                Ok(1..) => {}
                Ok(0) => {
                    self.ended = true;
                    return Poll::Ready(self.at_end());
                }
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}
