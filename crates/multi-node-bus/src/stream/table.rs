//! The streams of this process, and those that ask for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use multi_node_fleet::id::NodeId;
use tokio::io::duplex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::ask::{STREAMS, Way};
use super::byte_stream::Ends;
use super::driver::{Asked, Driver};
use super::frame::{Answer, Frame, HEAD, Number};
use super::rules::{Stream, WINDOW};
use super::{ByteStream, IncomingStreams, StreamReset};
use crate::counts::Counts;
use crate::limits::BusLimits;
use crate::payload::Payload;
use crate::request::{Handler, Request, Requests};

/// How many bytes wait between the program and a stream's task, in each direction.
const PIPE: usize = 64 << 10;

/// How many streams wait to be accepted. More are refused.
const WAITING: usize = 64;

/// How many frames of the other end wait for a stream's task. Then their requests wait.
const FRAMES: usize = 16;

/// The most unanswered bytes of all streams of this process: half of what may wait for one peer, so that streams alone do not make messages of
/// topics be dropped.
const IN_FLIGHT: usize = 2 << 20;

/// The streams of one process.
#[derive(Debug)]
pub(crate) struct Streams {
    requests: Arc<Requests>,
    limits: BusLimits,
    counts: Arc<Counts>,
    runtime: Handle,
    room: Arc<Semaphore>,
    /// Set when the first stream is wanted. Until then the process answers no frames.
    begun: OnceLock<bool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_number: u64,
    open: HashMap<Key, Entry>,
    incoming: Option<mpsc::Sender<ByteStream>>,
}

/// A stream: with whom, whether this process has opened it, and the opener's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    peer: NodeId,
    is_ours: bool,
    number: u64,
}

/// What reaches the stream's task.
#[derive(Debug)]
struct Entry {
    frames: mpsc::Sender<Asked>,
    news: watch::Sender<Option<StreamReset>>,
}

/// The place of a stream in the table, until this is dropped.
struct Place {
    streams: Arc<Streams>,
    key: Key,
    way: Way,
    frames: Option<mpsc::Receiver<Asked>>,
    /// Whether the other end may have a stream that has come to nothing here.
    has_asked: bool,
}

impl Streams {
    pub(crate) fn new(requests: &Arc<Requests>, limits: BusLimits, counts: Arc<Counts>, runtime: Handle) -> Streams {
        let (requests, room) = (requests.clone(), Arc::new(Semaphore::new(IN_FLIGHT)));
        Streams { requests, limits, counts, runtime, room, begun: OnceLock::new(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this process answers frames.
    fn begin(self: &Arc<Self>) -> Result<(), StreamReset> {
        let begun = self.begun.get_or_init(|| {
            let streams = Arc::downgrade(self);
            let answer = move |request: Request| {
                let streams = streams.clone();
                async move { Ok::<_, String>(Payload::bytes(Streams::answer(&streams, request).await.encode())) }
            };
            self.requests.respond(STREAMS, Handler::new(answer)).is_ok()
        });
        if *begun { Ok(()) } else { Err(StreamReset::TooMany) }
    }

    /// Opens a stream to this process.
    pub(crate) async fn open(self: &Arc<Self>, to: NodeId) -> Result<ByteStream, StreamReset> {
        self.begin()?;
        let mut place = self.place_for(to)?;
        place.has_asked = true;
        match place.way.clone().ask(Frame::Open { limit: WINDOW }).await? {
            Answer::Taken { limit } => Ok(place.start(limit)),
            Answer::Reset(reset) => {
                place.has_asked = false;
                Err(reset)
            }
        }
    }

    fn place_for(self: &Arc<Self>, peer: NodeId) -> Result<Place, StreamReset> {
        let mut state = self.lock();
        state.last_number += 1;
        let number = state.last_number;
        self.place(state, Key { peer, is_ours: true, number })
    }

    fn place(self: &Arc<Self>, mut state: MutexGuard<'_, State>, key: Key) -> Result<Place, StreamReset> {
        if state.open.len() >= self.limits.streams {
            self.counts.streams_refused.one();
            return Err(StreamReset::TooMany);
        }
        let (frames, receiver) = mpsc::channel(FRAMES);
        let (news, is_news) = watch::channel(None);
        state.open.insert(key, Entry { frames, news });
        drop(state);
        self.counts.streams.one();
        let number = Number { by_sender: key.is_ours, number: key.number };
        let (requests, room) = (self.requests.clone(), self.room.clone());
        let way = Way { requests, peer: key.peer, number, room, news: is_news };
        Ok(Place { streams: self.clone(), key, way, frames: Some(receiver), has_asked: false })
    }

    /// Streams that others open come here from now on.
    pub(crate) fn incoming(self: &Arc<Self>) -> Result<IncomingStreams, StreamReset> {
        self.begin()?;
        let (sender, incoming) = mpsc::channel(WAITING);
        self.lock().incoming = Some(sender);
        Ok(IncomingStreams { streams: Arc::downgrade(self), incoming })
    }

    pub(super) fn accepts_no_more(&self) {
        let mut state = self.lock();
        state.incoming.take_if(|incoming| incoming.is_closed());
    }

    async fn answer(streams: &Weak<Streams>, request: Request) -> Answer {
        let Some(streams) = streams.upgrade() else { return Answer::Reset(StreamReset::Ended) };
        let Some((of, frame)) = Frame::decode(&request.payload.bytes) else {
            return Answer::Reset(StreamReset::Protocol);
        };
        let key = Key { peer: request.from, is_ours: !of.by_sender, number: of.number };
        let frames = streams.lock().open.get(&key).map(|entry| entry.frames.clone());
        match (frames, frame) {
            (Some(frames), frame) => asked(&frames, frame).await,
            (None, Frame::Open { limit }) if !key.is_ours => match streams.accept(key, limit) {
                Ok(()) => Answer::Taken { limit: WINDOW },
                Err(reset) => Answer::Reset(reset),
            },
            // It has ended here, and the other end was not told.
            (None, _) => Answer::Reset(StreamReset::Lost),
        }
    }

    fn accept(self: &Arc<Self>, key: Key, limit: u64) -> Result<(), StreamReset> {
        let state = self.lock();
        let incoming = state.incoming.clone().ok_or(StreamReset::NobodyAccepts)?;
        let permit = incoming.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Closed(()) => StreamReset::NobodyAccepts,
            mpsc::error::TrySendError::Full(()) => {
                self.counts.streams_refused.one();
                StreamReset::TooMany
            }
        })?;
        let place = self.place(state, key)?;
        permit.send(place.start(limit));
        Ok(())
    }

    /// A process has ended; or the gateway, and what was on its way to other machines is lost.
    pub(crate) fn gone(&self, id: NodeId) {
        match id {
            NodeId::GATEWAY => self.end(NodeId::is_remote, StreamReset::GatewayReplaced),
            id => self.end(|peer| peer == id, StreamReset::Ended),
        }
    }

    /// The streams to these processes end.
    pub(crate) fn end(&self, to: impl Fn(NodeId) -> bool, reset: StreamReset) {
        let state = self.lock();
        let ended = state.open.iter().filter(|(key, _)| to(key.peer));
        for (_, entry) in ended {
            entry.news.send_replace(Some(reset));
        }
    }
}

async fn asked(frames: &mpsc::Sender<Asked>, frame: Frame) -> Answer {
    let (sender, answer) = oneshot::channel();
    let lost = Answer::Reset(StreamReset::Lost);
    match frames.send((frame, sender)).await {
        Ok(()) => answer.await.unwrap_or(lost),
        Err(_) => lost,
    }
}

impl Place {
    /// The other end has the stream too, and lets this one send `limit` bytes at first.
    fn start(mut self, limit: u64) -> ByteStream {
        let (frames, replaced) = mpsc::channel(1);
        drop(frames);
        let frames = self.frames.take().unwrap_or(replaced);
        let ((written, write), (reads, read)) = (duplex(PIPE), duplex(PIPE));
        let (ends, (held, is_held)) = (Arc::new(Ends::default()), oneshot::channel());
        let most = self.streams.limits.message_bytes.saturating_sub(HEAD);
        let driver = Driver {
            way: self.way.clone(),
            stream: Stream::new(limit, most),
            frames,
            written: Some(written),
            reads: Some(reads),
            ends: ends.clone(),
            held: is_held,
            asks: JoinSet::new(),
            farewell: None,
        };
        self.has_asked = false;
        let (peer, runtime) = (self.key.peer, self.streams.runtime.clone());
        let remote = self.streams.requests.remotes().get(peer);
        runtime.spawn(async move {
            let why = driver.run().await;
            self.streams.counts.streams_reset.add(why.is_some().into());
        });
        ByteStream { peer, remote, read, write, ends, _held: held }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.lock().open.remove(&self.key);
        self.streams.counts.streams.minus_one();
        if self.has_asked {
            self.streams.runtime.spawn(self.way.clone().farewell(StreamReset::Dropped));
        }
    }
}
