//! The task of a stream: what the program writes becomes frames, and what frames bring the program reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::StreamReset;
use super::ask::Way;
use super::byte_stream::Ends;
use super::frame::{Answer, Frame};
use super::rules::Stream;

/// How often an end looks whether the other is there, where nothing else shows it.
const LIFE: Duration = Duration::from_secs(5);

/// A frame of the other end, and where its answer goes.
pub(super) type Asked = (Frame, oneshot::Sender<Answer>);

/// What came for a frame of this end: where its bytes began, and the answer.
type Answered = (Option<u64>, Result<Answer, StreamReset>);

/// One end of a stream, between the program and the other end.
pub(super) struct Driver {
    pub(super) way: Way,
    pub(super) stream: Stream,
    pub(super) frames: mpsc::Receiver<Asked>,
    /// What the program writes, until that has ended.
    pub(super) written: Option<DuplexStream>,
    /// What it reads, until that has ended.
    pub(super) reads: Option<DuplexStream>,
    pub(super) ends: Arc<Ends>,
    /// Ends when the program drops the stream.
    pub(super) held: oneshot::Receiver<()>,
    pub(super) asks: JoinSet<Answered>,
    /// Whether the other end knows of a reset.
    pub(super) farewell: Option<JoinSet<()>>,
}

impl Driver {
    /// Goes on until both directions have ended. Says why, if it was reset.
    pub(super) async fn run(mut self) -> Option<StreamReset> {
        let mut life = interval(LIFE);
        life.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut is_held = true;
        while !self.is_over() {
            tokio::select! {
                Some((frame, answer)) = self.frames.recv() => {
                    heard = Instant::now();
                    self.asked(frame, answer);
                }
                Some(Ok((at, answer))) = self.asks.join_next() => {
                    heard = Instant::now();
                    self.answered(at, answer);
                }
                Ok(()) = self.way.news.changed() => self.reset_by_news(),
                bytes = read(&mut self.written, self.stream.may_send()) => self.send(bytes),
                taken = write(&mut self.reads, self.stream.ready()) => self.taken(taken),
                _ = &mut self.held, if is_held => {
                    is_held = false;
                    self.reads = None;
                }
                Some(_) = told(&mut self.farewell) => {}
                _ = life.tick() => if heard.elapsed() >= LIFE && self.stream.why().is_none() {
                    let frame = self.stream.sign_of_life();
                    self.ask(frame);
                },
            }
            self.settle();
        }
        self.stream.why()
    }

    fn is_over(&self) -> bool {
        let is_told = self.farewell.as_ref().is_none_or(JoinSet::is_empty);
        match self.stream.why() {
            Some(_) => self.reads.is_none() && is_told,
            None => self.reads.is_none() && self.stream.has_all() && self.stream.is_sent(),
        }
    }

    /// Passes on that a direction has ended.
    fn settle(&mut self) {
        if self.reads.is_none() {
            self.stream.discard();
        }
        if self.reads.is_none() && !self.stream.has_all() && self.stream.is_sent() {
            self.end(StreamReset::Dropped);
        }
        if let Some(reset) = self.stream.why() {
            // An error means that it is known.
            let _ = self.ends.write.set(reset);
            self.written = None;
        }
        if self.stream.ready().is_empty() {
            match (self.stream.has_all(), self.stream.why()) {
                (true, _) => self.reads = None,
                (false, Some(reset)) => {
                    let _ = self.ends.read.set(reset);
                    self.reads = None;
                }
                (false, None) => {}
            }
        }
    }

    fn asked(&mut self, frame: Frame, answer: oneshot::Sender<Answer>) {
        // Who has asked may be gone.
        let _ = answer.send(self.stream.asked(frame));
    }

    fn answered(&mut self, at: Option<u64>, answer: Result<Answer, StreamReset>) {
        match answer {
            Ok(answer) => self.stream.answered(at, answer),
            Err(reset) => self.end(reset),
        }
    }

    fn reset_by_news(&mut self) {
        let news = *self.way.news.borrow_and_update();
        news.into_iter().for_each(|reset| self.end(reset));
    }

    /// Resets the stream, and tells the other end.
    fn end(&mut self, reset: StreamReset) {
        if self.stream.why().is_none() {
            self.stream.reset(reset);
            self.asks.abort_all();
            self.farewell.get_or_insert_default().spawn(self.way.clone().farewell(reset));
        }
    }

    fn send(&mut self, bytes: Option<BytesMut>) {
        let frame = match bytes {
            Some(bytes) => self.stream.send(bytes.freeze()),
            None => {
                self.written = None;
                self.stream.finish()
            }
        };
        self.ask(frame);
    }

    fn taken(&mut self, taken: Option<usize>) {
        match taken {
            Some(bytes) => {
                let frame = self.stream.taken(bytes);
                frame.into_iter().for_each(|frame| self.ask(frame));
            }
            None => self.reads = None,
        }
    }

    fn ask(&mut self, frame: Frame) {
        let (at, asking) = (frame.begin(), self.way.clone().ask(frame));
        self.asks.spawn(async move { (at, asking.await) });
    }
}

/// What the program has written, up to this number of bytes. `None`: it writes no more. Cancel-safe.
async fn read(written: &mut Option<DuplexStream>, most: usize) -> Option<BytesMut> {
    let Some(written) = written.as_mut().filter(|_| most > 0) else { return std::future::pending().await };
    let mut bytes = BytesMut::with_capacity(most);
    let read = (&mut *written).take(most as u64).read_buf(&mut bytes).await;
    read.ok().filter(|read| *read > 0).map(|_| bytes)
}

/// How many bytes the program has taken. `None`: it reads no more. Cancel-safe.
async fn write(reads: &mut Option<DuplexStream>, ready: &[u8]) -> Option<usize> {
    match reads {
        Some(reads) if !ready.is_empty() => reads.write(ready).await.ok(),
        _ => std::future::pending().await,
    }
}

async fn told(farewell: &mut Option<JoinSet<()>>) -> Option<()> {
    match farewell {
        Some(farewell) => farewell.join_next().await.map(drop),
        None => None,
    }
}
