//! Both directions on one transport.

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
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

use super::{Format, FrameError, FramedRead, FramedWrite, Json, MessagePack, incoming::Incoming, outgoing::Outgoing};

/// Typed messages on a stream of bytes: receives `In`, sends `Out`, in the frames of `F`.
///
/// It is a [`Stream`] and a [`Sink`], and has [`recv`](Framed::recv) and [`send`](Framed::send) of its own. Both sides
/// of a stream need the same format, and each other's types. What is gathered for sending is less than 64 KiB and one
/// message; what is read ahead, one unfinished message and one read.
///
/// Dropped messages: what was fed and not flushed is lost with a `Framed` that is dropped.
pub struct Framed<S, In, Out = In, F = MessagePack> {
    io: S,
    incoming: Incoming<In, F>,
    outgoing: Outgoing<Out, F>,
}

type Halves<S, In, Out, F> = (FramedRead<ReadHalf<S>, In, F>, FramedWrite<WriteHalf<S>, Out, F>);

/// Messages as JSON, in the frames of the 2010 library.
pub type JsonFramed<S, In, Out = In> = Framed<S, In, Out, Json>;

impl<S, In, Out, F> Framed<S, In, Out, F> {
    /// Frames on `io`, with [`DEFAULT_FRAME_LIMIT`](super::DEFAULT_FRAME_LIMIT) in both directions.
    pub fn new(io: S) -> Self {
        Framed { io, incoming: Incoming::new(), outgoing: Outgoing::new() }
    }

    /// Allows messages of at most `bytes` when encoded, in both directions.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.incoming.set_limit(bytes);
        self.outgoing.set_limit(bytes);
        self
    }

    /// The transport. What is read from it or written to it directly breaks the frames.
    pub fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncRead + AsyncWrite, In, Out, F> Framed<S, In, Out, F> {
    /// A reader and a writer, for two tasks. What was read ahead or gathered so far goes along.
    pub fn split(self) -> Halves<S, In, Out, F> {
        let (reader, writer) = tokio::io::split(self.io);
        (FramedRead::from_parts(reader, self.incoming), FramedWrite::from_parts(writer, self.outgoing))
    }
}

impl<S: AsyncRead + Unpin, In: DeserializeOwned, Out, F: Format> Framed<S, In, Out, F> {
    /// The next message, as [`FramedRead::recv`]. Cancel-safe.
    ///
    /// # Errors
    ///
    /// After [`FrameError::Undecodable`] the next call gives the next message. After any other error it gives `None`.
    pub async fn recv(&mut self) -> Result<Option<In>, FrameError> {
        poll_fn(|cx| self.incoming.poll_message(&mut self.io, cx)).await.transpose()
    }
}

impl<S: AsyncWrite + Unpin, In, Out: Serialize, F: Format> Framed<S, In, Out, F> {
    /// Sends one message and everything that was fed before it, as [`FramedWrite::send`], which describes cancellation.
    ///
    /// # Errors
    ///
    /// [`FrameError::Oversize`] and [`FrameError::Unencodable`] concern this message alone: nothing of it is sent, and
    /// the stream stays usable. [`FrameError::Io`] means that the other side is gone.
    pub async fn send(&mut self, message: impl Borrow<Out>) -> Result<(), FrameError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Gathers one message, as [`FramedWrite::feed`]. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`send`](Framed::send).
    #[inline]
    pub async fn feed(&mut self, message: impl Borrow<Out>) -> Result<(), FrameError> {
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

    /// Writes all that was fed and ends the writing side; messages can still be received. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`FrameError::Io`] when the other side is gone.
    pub async fn close(&mut self) -> Result<(), FrameError> {
        Ok(poll_fn(|cx| self.outgoing.poll_close(&mut self.io, cx)).await?)
    }
}

impl<S: AsyncRead + Unpin, In: DeserializeOwned, Out, F: Format> Stream for Framed<S, In, Out, F> {
    type Item = Result<In, FrameError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.incoming.poll_message(&mut this.io, cx)
    }
}

impl<S: AsyncWrite + Unpin, In, Out: Serialize, F: Format> Sink<Out> for Framed<S, In, Out, F> {
    type Error = FrameError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), FrameError>> {
        let this = self.get_mut();
        this.outgoing.poll_room(&mut this.io, cx).map_err(FrameError::from)
    }

    fn start_send(self: Pin<&mut Self>, message: Out) -> Result<(), FrameError> {
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

impl<S: fmt::Debug, In, Out, F> fmt::Debug for Framed<S, In, Out, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed").field("io", &self.io).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    type Ends = Framed<DuplexStream, u32>;

    fn pair() -> (Ends, Ends) {
        let (ours, theirs) = duplex(1024);
        (Framed::new(ours), Framed::new(theirs))
    }

    #[tokio::test]
    async fn a_sink_sends_when_it_is_flushed_and_ends_the_stream_when_it_is_closed() {
        let (mut ours, mut theirs) = pair();
        SinkExt::send(&mut ours, 7).await.expect("sent");
        assert_eq!(theirs.next().await.expect("it has come").expect("whole"), 7);
        SinkExt::feed(&mut ours, 8).await.expect("gathered");
        SinkExt::close(&mut ours).await.expect("closed");
        assert_eq!(theirs.next().await.expect("it has come").expect("whole"), 8);
        assert!(theirs.next().await.is_none());
    }

    #[tokio::test]
    async fn halves_are_sinks_and_streams_too() {
        let (ours, theirs) = pair();
        let ((_, mut writer), (mut reader, _)) = (ours.split(), theirs.split());
        SinkExt::send(&mut writer, 7).await.expect("sent");
        assert_eq!(reader.next().await.expect("it has come").expect("whole"), 7);
        SinkExt::close(&mut writer).await.expect("closed");
        assert!(reader.next().await.is_none());
    }
}
