//! One hand-off stream: it is made when a connection is first offered, or when the peer offers one. A task sends offers, answers
//! those of the other side, and ends with it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, SetOnce, mpsc, oneshot};
use tokio::time::Instant;

use super::busy::Busy;
use super::message::{self, HandoffMessage, Offer};
use super::moves::move_all;
use crate::control::{self, Reader, Skipped, Writer};
use crate::id::NodeId;
use crate::serve::{BusyHandoff, HandoffReceiver, IdleConn, Mover};
use crate::sys;
use multi_node_fleet::status::Status;

/// How many offers may wait for one link. Further ones wait for room.
const QUEUE: usize = 16;

/// How many connections may be on their way to one peer: well below the kernel's limit of descriptors in flight
/// (`RLIMIT_NOFILE`, unix(7)), and few enough that answers never wait behind offers.
const WINDOW: usize = 64;

/// How long a peer may take no connection at all before those that wait for their turn with it ask another one.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How many peers at once may wait for a stream to be asked for. Who waits for another one asks again.
const WANTED: usize = 64;

/// The links to all peers.
#[derive(Debug)]
pub(crate) struct Links {
    links: BTreeMap<NodeId, Link>,
    /// Where offers of others go, once this process serves.
    handoff_receiver: Arc<OnceLock<HandoffReceiver>>,
    skipped: Skipped,
    /// Through which connections move to each peer that owns requests; `None`: requests have no owners.
    movers: Option<BTreeMap<NodeId, Mover>>,
    /// The peers to which a stream is wanted.
    wanted: mpsc::Receiver<NodeId>,
    want: mpsc::Sender<NodeId>,
    /// Where peers take connections of this process while it computes.
    busy: Option<Busy>,
}

/// The way to one peer, which is joined.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Way>);

#[derive(Debug)]
struct Way {
    peer: NodeId,
    /// Empty until it is made; `None`: the peer has ended before.
    stream: SetOnce<Option<HandoffStream>>,
    want: mpsc::Sender<NodeId>,
    /// Whether it was asked for, so that it is asked once for many connections.
    is_wanted: AtomicBool,
}

#[derive(Debug)]
struct HandoffStream {
    offers: mpsc::Sender<(Offer, oneshot::Sender<Answer>)>,
    window: Semaphore,
    /// How often the peer has answered, which distinguishes a busy peer from one that stands still.
    answers: AtomicU64,
    /// Whether the peer has said that it answers offers of busy processes at once.
    takes_when_busy: Arc<AtomicBool>,
}

impl Links {
    /// `moves`: requests have owners.
    pub(crate) fn new(skipped: Skipped, moves: bool) -> Links {
        let (want, wanted) = mpsc::channel(WANTED);
        let movers = moves.then(BTreeMap::new);
        Links { links: BTreeMap::new(), handoff_receiver: Arc::default(), skipped, movers, wanted, want, busy: None }
    }

    /// The same, where peers take connections of this process while it computes.
    pub(crate) fn with_busy(self, busy: Option<Busy>) -> Links {
        Links { busy, ..self }
    }

    /// The next peer to which a stream is wanted. Cancel-safe.
    pub(crate) async fn wanted(&mut self) -> Option<NodeId> {
        self.wanted.recv().await
    }

    /// The place that offers go to from now on.
    pub(crate) fn handoff_receiver(&self) -> Arc<OnceLock<HandoffReceiver>> {
        self.handoff_receiver.clone()
    }

    /// A peer is joined. There may be a stream to it later.
    pub(crate) fn name(&mut self, id: NodeId) {
        if self.links.contains_key(&id) {
            return;
        }
        let way = Way { peer: id, stream: SetOnce::new(), want: self.want.clone(), is_wanted: AtomicBool::new(false) };
        let link = Link(Arc::new(way));
        if let Some(movers) = &mut self.movers {
            let (mover, conns) = Mover::new();
            tokio::spawn(move_all(conns, link.clone()));
            movers.insert(id, mover);
        }
        if let Some(busy) = &self.busy {
            busy.name(id, link.clone());
        }
        self.links.insert(id, link);
    }

    /// Which peers serve, and in which lines of the load table they count.
    pub(crate) fn see(&self, status: &Status, lines: &[Option<usize>]) {
        self.busy.iter().for_each(|busy| busy.see(status, lines));
    }

    /// There is a stream to this peer. `greets`: both sides begin with a hello.
    ///
    /// Where both have asked for it two are made, and both keep the first.
    pub(crate) fn open(&mut self, id: NodeId, handoff: OwnedFd, greets: bool) -> io::Result<()> {
        self.name(id);
        let Some(Link(way)) = self.links.get(&id).filter(|Link(way)| !way.stream.initialized()) else { return Ok(()) };
        let runtime = self.busy.as_ref().and_then(Busy::runtime);
        let _entered = runtime.as_ref().map(Handle::enter);
        let (mut reader, writer) = control::channel(StdUnixStream::from(handoff))?;
        reader.count_skipped(self.skipped.clone());
        let (sender, offers) = mpsc::channel(QUEUE);
        let (unanswered, handoff_receiver) = (BTreeMap::new(), self.handoff_receiver.clone());
        let takes = if greets { Takes::NotSaid } else { Takes::Yes };
        let busy_handoff = self.busy.as_ref().map(|busy| busy.handoff().clone());
        // Where connections are handed off then, two that need no hello both take them.
        let takes_when_busy = Arc::new(AtomicBool::new(!greets));
        let stream = HandoffStream {
            offers: sender,
            window: Semaphore::new(WINDOW),
            answers: AtomicU64::new(0),
            takes_when_busy: takes_when_busy.clone(),
        };
        let ends = Ends { reader, writer, takes, takes_when_busy, offers, unanswered, handoff_receiver, busy_handoff };
        tokio::spawn(async move {
            if let Err(error) = ends.run().await {
                crate::log::debug!(peer = %id, %error, "the handoff to a peer has ended");
            }
        });
        // It is set only here and at the peer's end.
        let _ = way.stream.set(Some(stream));
        Ok(())
    }

    /// A peer has ended.
    pub(crate) fn part(&mut self, id: NodeId) {
        if let Some(Link(way)) = self.links.remove(&id) {
            // One that there was ends with the peer.
            let _ = way.stream.set(None);
        }
        self.movers.iter_mut().for_each(|movers| drop(movers.remove(&id)));
        self.busy.iter().for_each(|busy| busy.part(id));
    }

    /// The way of connections to this peer, where it is joined and requests have owners.
    pub(crate) fn mover(&self, id: NodeId) -> Option<Mover> {
        self.movers.as_ref()?.get(&id).cloned()
    }

    /// The links to these peers, in this order, as far as they are joined.
    pub(super) fn to(&self, ids: &[NodeId]) -> Vec<Link> {
        ids.iter().filter_map(|id| self.links.get(id).cloned()).collect()
    }
}

impl Link {
    /// Offers a connection. `Ok`: the peer serves it now. The idle connection stays with the caller, who keeps it until then.
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused): the peer serves on and does not take it.
    ///
    /// A peer that is slow is not offered more than it has room for. One that has been offered a connection is waited for
    /// as long as it lives: it may take it at any time, and a connection must not have two readers.
    pub(super) async fn offer(&self, number: u64, idle_conn: &IdleConn) -> io::Result<()> {
        let stream = self.stream().await?;
        let _place = stream.place().await?;
        stream.offer(number, idle_conn).await
    }

    /// As [`offer`](Self::offer), without waiting for the window: moves have a limit of their own.
    pub(super) async fn offer_at_once(&self, number: u64, idle_conn: &IdleConn) -> io::Result<()> {
        self.stream().await?.offer(number, idle_conn).await
    }

    /// As [`offer_at_once`](Self::offer_at_once), from a process that computes to one that does not.
    pub(super) async fn offer_when_busy(&self, number: u64, idle_conn: &IdleConn) -> io::Result<()> {
        self.stream().await?.send(number, idle_conn, true).await
    }

    /// Whether the peer takes connections of a process that computes, as far as it has said so.
    pub(super) fn takes_when_busy(&self) -> bool {
        let stream = self.0.stream.get().and_then(Option::as_ref);
        stream.is_some_and(|stream| stream.takes_when_busy.load(Relaxed))
    }

    /// A stream is asked for if there is none.
    pub(super) fn want(&self) {
        let Link(way) = self;
        if way.stream.get().is_none() {
            way.ask();
        }
    }

    /// The stream, which is asked for if there is none.
    async fn stream(&self) -> io::Result<&HandoffStream> {
        let Link(way) = self;
        let stream = match way.stream.get() {
            Some(stream) => stream,
            None => way.made().await?,
        };
        stream.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Way {
    /// Asks for the stream. Without one in time another peer may take the connection, and the next call asks again.
    async fn made(&self) -> io::Result<&Option<HandoffStream>> {
        self.ask();
        let made = tokio::time::timeout(PATIENCE, self.stream.wait()).await;
        if made.is_err() {
            self.is_wanted.store(false, Relaxed);
        }
        Ok(made?)
    }
}

impl Way {
    fn ask(&self) {
        // Where the queue is full, this asks again later.
        if !self.is_wanted.swap(true, Relaxed) && self.want.try_send(self.peer).is_err() {
            self.is_wanted.store(false, Relaxed);
        }
    }
}

impl HandoffStream {
    async fn offer(&self, number: u64, idle_conn: &IdleConn) -> io::Result<()> {
        self.send(number, idle_conn, false).await
    }

    async fn send(&self, number: u64, idle_conn: &IdleConn, when_busy: bool) -> io::Result<()> {
        let offer = Offer {
            number,
            server: idle_conn.server(),
            before: idle_conn.before().clone(),
            info: idle_conn.info(),
            socket: duplicate(idle_conn.socket()).await?.into(),
            for_request: idle_conn.is_for_request(),
            when_busy,
        };
        let (reply, answer) = oneshot::channel();
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.offers.send((offer, reply)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        let answer = answer.await.map_err(gone)?;
        self.answers.fetch_add(1, Relaxed);
        match answer {
            Answer::Taken => Ok(()),
            Answer::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Answer::Drains => Err(io::Error::other("the peer drains")),
        }
    }

    /// A place in the window. The call waits as long as the peer continues to answer.
    async fn place(&self) -> io::Result<SemaphorePermit<'_>> {
        let mut place = pin!(self.window.acquire());
        loop {
            let before = self.answers.load(Relaxed);
            match tokio::time::timeout(PATIENCE, place.as_mut()).await {
                Ok(place) => return place.map_err(io::Error::other),
                Err(_) if self.answers.load(Relaxed) != before => {}
                Err(elapsed) => return Err(elapsed.into()),
            }
        }
    }
}

/// A second descriptor of a connection. A process that has no more waits for those of connections that have gone.
async fn duplicate(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match socket.try_clone_to_owned() {
            Err(error) if sys::socket::out_of_descriptors(&error) && Instant::now() < limit => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            other => return other,
        }
    }
}

/// What a peer says to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    Refused,
    /// It was asked too late.
    Drains,
}

impl Answer {
    fn refused(draining: bool) -> Answer {
        if draining { Answer::Drains } else { Answer::Refused }
    }
}

/// Whether the other side takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Its hello has not come.
    NotSaid,
    Yes,
    No,
}

/// The task's side of a link.
struct Ends {
    reader: Reader<HandoffMessage>,
    writer: Writer<HandoffMessage>,
    takes: Takes,
    takes_when_busy: Arc<AtomicBool>,
    offers: mpsc::Receiver<(Offer, oneshot::Sender<Answer>)>,
    /// Offers that the peer has not answered; who waits for one learns of the link's end when this is dropped.
    unanswered: BTreeMap<u64, oneshot::Sender<Answer>>,
    handoff_receiver: Arc<OnceLock<HandoffReceiver>>,
    /// Whether this process computes, where that can be seen.
    busy_handoff: Option<Arc<BusyHandoff>>,
}

impl Ends {
    async fn run(mut self) -> io::Result<()> {
        let end = self.converse().await;
        self.read_last_answers();
        end
    }

    /// Answers that arrived before the end count, also where the end was seen by a failed write. A connection that the peer has taken
    /// must not be offered to another.
    fn read_last_answers(&mut self) {
        while let Ok(Some(message)) = self.reader.next_arrived() {
            match message {
                HandoffMessage::Taken { number } => self.answered(number, Answer::Taken),
                HandoffMessage::Refused { number, draining } => self.answered(number, Answer::refused(draining)),
                HandoffMessage::Hello { .. } | HandoffMessage::Offer(_) => {}
            }
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        if self.takes == Takes::NotSaid {
            self.writer.send(message::hello()).await?;
        }
        loop {
            tokio::select! {
                message = self.reader.next() => match message? {
                    Some(message) => self.hear(message).await?,
                    None => return Ok(()),
                },
                Some((offer, reply)) = self.offers.recv(), if self.takes != Takes::NotSaid => match self.takes {
                    Takes::Yes => {
                        self.unanswered.insert(offer.number, reply);
                        self.writer.send(HandoffMessage::Offer(offer)).await?;
                    }
                    // The task that offered may have stopped waiting.
                    Takes::No | Takes::NotSaid => drop(reply.send(Answer::Refused)),
                },
            }
        }
    }

    async fn hear(&mut self, message: HandoffMessage) -> io::Result<()> {
        match message {
            HandoffMessage::Hello { versions, capabilities } => {
                self.takes = if message::takes_offers(versions, &capabilities) { Takes::Yes } else { Takes::No };
                let takes_when_busy = self.takes == Takes::Yes && message::takes_when_busy(&capabilities);
                self.takes_when_busy.store(takes_when_busy, Relaxed);
            }
            HandoffMessage::Offer(offer) => self.take(offer).await?,
            HandoffMessage::Taken { number } => self.answered(number, Answer::Taken),
            HandoffMessage::Refused { number, draining } => self.answered(number, Answer::refused(draining)),
        }
        Ok(())
    }

    fn answered(&mut self, number: u64, answer: Answer) {
        if let Some(reply) = self.unanswered.remove(&number) {
            // The task that offered may have stopped waiting.
            let _ = reply.send(answer);
        }
    }

    /// Says whether the connection is served here before anything is read of it, so that it never has two readers.
    async fn take(&mut self, offer: Offer) -> io::Result<()> {
        let Offer { number, server, before, info, socket, for_request, when_busy } = offer;
        let handoff_receiver = self.handoff_receiver.get();
        // The request that waits would wait here too.
        let computes = when_busy && self.busy_handoff.as_ref().is_some_and(|handoff| handoff.is_late());
        let reserved =
            handoff_receiver.filter(|_| !computes).and_then(|handoff_receiver| handoff_receiver.reserve(server));
        let (Some(reserved), Ok(socket)) = (reserved, socket.into_owned()) else {
            let draining = handoff_receiver.is_some_and(HandoffReceiver::is_draining);
            return self.writer.send(HandoffMessage::Refused { number, draining }).await;
        };
        self.writer.send(HandoffMessage::Taken { number }).await?;
        reserved.adopt(IdleConn::arrived(server, socket, before, info).for_request(for_request));
        Ok(())
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
