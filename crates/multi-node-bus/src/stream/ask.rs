//! A frame on its way to the other end, as a request.

use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::StreamReset;
use super::frame::{Answer, Frame, Number};
use crate::payload::Payload;
use crate::request::{Call, RequestError, Requests};

/// The handler of frames.
pub(super) const STREAMS: &str = "multi-node streams";

/// A frame takes the room of this number of bytes at least. So small frames of one process take an eighth of the requests that the gateway
/// may have in flight, and leave room for those of programs.
const LEAST: usize = 16 << 10;

/// How long the answer to a frame may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The first and the longest pause after a frame was refused, since too many requests were in flight. Nobody has taken it then.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// How long a stream to a process that is not found, or is gone, waits to hear why: that it has ended, or that a gateway was replaced.
const WHY: Duration = Duration::from_secs(2);

/// How long this end tries to tell the other one of a reset, and the pause between two attempts.
const FAREWELL: Duration = Duration::from_secs(10);
const FAREWELL_PAUSE: Duration = Duration::from_millis(250);

/// How long it may take to find out whether NATS is there.
const LOOK: Duration = Duration::from_secs(1);

/// The way to the other end of a stream.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) requests: Arc<Requests>,
    pub(super) peer: NodeId,
    pub(super) number: Number,
    /// Room for unanswered bytes, which all streams of this process share.
    pub(super) room: Arc<Semaphore>,
    /// What others say of the other process.
    pub(super) news: watch::Receiver<Option<StreamReset>>,
}

impl Way {
    /// Sends a frame and gives the answer, or why there is none.
    pub(super) async fn ask(mut self, frame: Frame) -> Result<Answer, StreamReset> {
        let bytes = frame.encode(self.number);
        let parts = u32::try_from(bytes.len().max(LEAST)).unwrap_or(u32::MAX);
        // The room is never closed.
        let _room = self.room.clone().acquire_many_owned(parts).await.ok();
        match self.until_taken(Payload::bytes(bytes)).await {
            Ok(answer) => Answer::decode(&answer.bytes).ok_or(StreamReset::Protocol),
            Err(RequestError::Gone(id)) if id.is_remote() => Err(self.what_is_gone().await),
            Err(RequestError::NoSuchNode(_)) => Err(self.news_or(StreamReset::NotThere).await),
            Err(error) => Err(error.into()),
        }
    }

    async fn until_taken(&self, payload: Payload) -> Result<Payload, RequestError> {
        let (deadline, mut pause) = (Instant::now() + ANSWER, PAUSES.0);
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            match self.call(payload.clone(), remaining).await {
                Err(RequestError::Overloaded { .. }) if remaining > pause => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                other => return other,
            }
        }
    }

    async fn call(&self, payload: Payload, longest: Duration) -> Result<Payload, RequestError> {
        Call::new(&self.requests, STREAMS, payload).to(self.peer).timeout(longest).await
    }

    /// The answer was lost: NATS is not there now, the other process is not, which others say soon, or something lost it.
    async fn what_is_gone(&mut self) -> StreamReset {
        let lost = Frame::Reset(StreamReset::Lost).encode(self.number);
        match self.call(Payload::bytes(lost), LOOK).await {
            Ok(_) => StreamReset::Lost,
            Err(RequestError::Unreachable) => StreamReset::Unreachable,
            Err(_) => self.news_or(StreamReset::Lost).await,
        }
    }

    /// What others say of the other process within a while.
    async fn news_or(&mut self, otherwise: StreamReset) -> StreamReset {
        let news = timeout(WHY, self.news.wait_for(Option::is_some)).await;
        news.ok().and_then(Result::ok).and_then(|news| *news).unwrap_or(otherwise)
    }

    /// Tells the other end of a reset. If it cannot be told it finds out by its own frames, and by signs of life that are missing.
    pub(super) async fn farewell(self, reset: StreamReset) {
        let payload = Payload::bytes(Frame::Reset(reset).encode(self.number));
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            match self.call(payload.clone(), LOOK).await {
                Ok(_) | Err(RequestError::NoHandler { .. }) => return,
                Err(_) => sleep(FAREWELL_PAUSE).await,
            }
        }
    }
}
