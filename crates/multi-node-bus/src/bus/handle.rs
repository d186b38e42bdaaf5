//! The bus as its owner and the program hold it.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::{NodeId, Slot};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::connection::{Connection, Parts};
use super::relay::Relay;
use crate::counts::{BusCounts, Counts};
use crate::limits::BusLimits;
#[cfg(unix)]
use crate::link::halves;
use crate::members::{Members, PeerStatus, Wanted};
use crate::payload::Payload;
use crate::remote::{RemoteProcess, Remotes};
use crate::request::{Call, CallAll, Handler, Request, Requests, RespondError};
use crate::stream::{ByteStream, IncomingStreams, StreamReset};
use crate::topic::{RawTopic, Settled, TopicError, Topics};

/// How long the last bytes of a peer that has ended are read. The kernel has closed its end, unless a child inherited it.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// The bus of one process. Clones are the same bus.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Parts>);

impl Bus {
    /// The bus of the process `me`, without peers.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time: its tasks run there.
    pub fn new(me: NodeId, limits: BusLimits) -> Bus {
        let runtime = Handle::current();
        let counts = Arc::new(Counts::default());
        let members = Arc::new(Members::new(limits.clone(), counts.clone(), runtime.clone()));
        let topics = Topics::new(me, limits.clone(), counts.clone(), members.clone(), runtime.clone());
        let remotes = Arc::new(Remotes::default());
        let requests = Requests::new(me, limits.clone(), counts.clone(), members.clone(), remotes, runtime.clone());
        let (topics, requests) = (Arc::new(topics), Arc::new(requests));
        Bus(Arc::new(Parts::new(me, limits, counts, members, topics, requests, runtime)))
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn parts(&self) -> &Arc<Parts> {
        &self.0
    }

    /// Which process this is.
    pub fn me(&self) -> NodeId {
        self.0.me
    }

    /// The links that the owner is to have made. One task calls this once and forwards what it yields.
    pub fn wanted(&self) -> Wanted {
        Wanted::new(self.0.members.clone())
    }

    /// A process takes part, or has another slot. For this process itself it sets the slot.
    pub fn joined(&self, id: NodeId, slot: Option<Slot>, speaks_bus: bool) {
        if id == self.0.me {
            return self.0.requests.set_own_slot(slot);
        }
        self.0.members.joined(id, slot, speaks_bus);
        if self.0.topics.are_interesting() {
            self.0.members.want(id);
        }
        self.0.requests.want_gateway();
    }

    /// All processes that there were when this one joined have been named. Subscriptions wait for it before they count who
    /// confirmed. A process without peers calls it at once.
    pub fn members_complete(&self) {
        self.0.members.complete();
    }

    /// A process has ended. What it had sent is still delivered.
    pub fn gone(&self, id: NodeId) {
        self.0.streams.gone(id);
        match self.0.members.gone(id) {
            Some(link) => drop(self.0.runtime.spawn(async move {
                sleep(LAST_BYTES).await;
                link.cut();
            })),
            None => self.0.topics.forget(id),
        }
    }

    /// This process drains: it takes no new requests to `any`, and still takes part.
    pub fn draining(&self) {
        self.0.requests.drain();
    }

    /// A link to the peer was made. False when it is not taken: its epoch is not above that of an earlier one, or the peer is no
    /// member. The stream is closed then, and the other end sees it.
    ///
    /// # Errors
    ///
    /// When the stream cannot be registered with the runtime.
    #[cfg(unix)]
    pub fn attach(
        &self,
        id: NodeId,
        epoch: u64,
        stream: std::os::unix::net::UnixStream,
    ) -> Result<bool, std::io::Error> {
        let _context = self.0.runtime.enter();
        Ok(Connection::attach(&self.0, id, epoch, halves(stream)?))
    }

    /// The topic of this name.
    ///
    /// # Errors
    ///
    /// When the name is empty or too long, or this process has too many topics.
    pub fn topic(&self, name: &str) -> Result<RawTopic, TopicError> {
        RawTopic::new(&self.0.topics, name)
    }

    /// Answers requests of this name, until [`Bus::stop_responding`].
    ///
    /// # Errors
    ///
    /// When the name is empty, too long or taken, or this process has too many handlers.
    pub fn respond<F, R, E>(&self, name: &str, handler: F) -> Result<(), RespondError>
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Payload, E>> + Send + 'static,
        E: Display,
    {
        self.0.requests.respond(name, Handler::new(handler))
    }

    /// Answers requests of this name no longer. Those that run go on. False when there was no handler.
    pub fn stop_responding(&self, name: &str) -> bool {
        self.0.requests.stop_responding(name)
    }

    /// A request, to any process unless it says otherwise.
    pub fn request(&self, name: &str, payload: Payload) -> Call {
        Call::new(&self.0.requests, name, payload)
    }

    /// A request to every process that has the handler.
    pub fn request_all(&self, name: &str, payload: Payload) -> CallAll {
        CallAll::new(self.request(name, payload))
    }

    /// Waits until all topics with a subscription or a history so far are confirmed by the peers and have their history, or their
    /// timeouts have passed. A node is ready then. Gives what came of each topic.
    pub async fn settled(&self) -> Vec<(String, Settled)> {
        self.0.topics.settled().await
    }

    /// Waits until all that was published and sent so far is written, at most this long. False when it was not.
    pub async fn flush(&self, longest: Duration) -> bool {
        let links = self.0.members.links();
        let all = async {
            for link in links {
                link.until_at_most(0).await;
            }
        };
        timeout(longest, all).await.is_ok()
    }

    /// Who this process of another machine is. Known from its first message on; of many thousand processes some may be forgotten.
    pub fn remote(&self, id: NodeId) -> Option<RemoteProcess> {
        self.0.remotes.get(id)
    }

    /// Opens a stream to this process, of this machine or another one.
    ///
    /// # Errors
    ///
    /// When there is no such process, it accepts no streams, or one of the two has too many.
    pub async fn open_stream(&self, to: NodeId) -> Result<ByteStream, StreamReset> {
        self.0.streams.open(to).await
    }

    /// The streams that other processes open to this one from now on. Those that were accepted so before get no more.
    ///
    /// # Errors
    ///
    /// When this process has too many handlers.
    pub fn incoming_streams(&self) -> Result<IncomingStreams, StreamReset> {
        self.0.streams.incoming()
    }

    /// A process of another machine has left: streams to it end.
    pub fn left(&self, id: NodeId, why: StreamReset) {
        self.0.streams.end(|peer| peer == id, why);
    }

    /// Runs this beside the bus's own tasks.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.runtime.spawn(task);
    }

    /// A process of another machine can be asked by its id from now on.
    pub fn remember(&self, process: RemoteProcess) {
        self.0.remotes.remember(process.id(), process);
    }

    /// What a gateway needs beside a process's own part.
    pub fn relay(&self) -> Relay {
        Relay::new(&self.0.topics, &self.0.requests)
    }

    /// What has been counted.
    pub fn counts(&self) -> BusCounts {
        let (requests_waiting, requests_running) = self.0.requests.in_flight();
        BusCounts { requests_waiting, requests_running, ..self.0.counts.read() }
    }

    /// The slot that this peer fills.
    pub fn slot_of(&self, peer: NodeId) -> Option<Slot> {
        self.0.members.slot_of(peer)
    }

    /// The peers and their links.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.0.members.statuses()
    }
}
