//! One link from its attachment to its end.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::frames::Frames;
use crate::counts::Counts;
use crate::frame::{Head, Hello, Kind};
use crate::limits::BusLimits;
use crate::link::{LinkError, Outbox, ReadHalf, WriteHalf, read, write};
use crate::members::{Attached, Members};
use crate::remote::Remotes;
use crate::request::Requests;
use crate::stream::Streams;
use crate::topic::Topics;

/// How long a new link waits until the one before has been read to its end. The peer has closed it, or does so soon.
const EARLIER_LINK: Duration = Duration::from_secs(1);

/// What the bus of one process consists of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) me: NodeId,
    pub(super) limits: BusLimits,
    pub(super) counts: Arc<Counts>,
    pub(super) members: Arc<Members>,
    pub(super) topics: Arc<Topics>,
    pub(super) requests: Arc<Requests>,
    pub(super) streams: Arc<Streams>,
    /// Who the processes of other machines are.
    pub(super) remotes: Arc<Remotes>,
    pub(super) runtime: Handle,
    incarnation: u64,
}

impl Parts {
    pub(super) fn new(
        me: NodeId,
        limits: BusLimits,
        counts: Arc<Counts>,
        members: Arc<Members>,
        topics: Arc<Topics>,
        requests: Arc<Requests>,
        runtime: Handle,
    ) -> Parts {
        // Another number for each bus: std's hasher has random keys.
        let streams = Arc::new(Streams::new(&requests, limits.clone(), counts.clone(), runtime.clone()));
        let remotes = requests.remotes().clone();
        let incarnation = RandomState::new().hash_one(me);
        Parts { me, limits, counts, members, topics, requests, streams, remotes, runtime, incarnation }
    }
}

/// A link that is served.
pub(super) struct Connection {
    parts: Arc<Parts>,
    outbox: Arc<Outbox>,
}

impl Connection {
    /// Takes the stream as the link to the peer, unless it is stale.
    pub(super) fn attach(
        parts: &Arc<Parts>,
        peer: NodeId,
        epoch: u64,
        (reader, writer): (ReadHalf, WriteHalf),
    ) -> bool {
        let writer = Arc::new(writer);
        let outbox = Arc::new(Outbox::new(peer, epoch, parts.limits.peer_bytes, writer.clone()));
        let (over, is_over) = watch::channel(());
        let Attached::After(earlier) = parts.members.attach(&outbox, is_over) else { return false };
        let hello = Hello::new(parts.me, parts.incarnation, parts.limits.message_bytes);
        outbox.control(Head::new(Kind::Hello), &[&hello.encode()]);
        let connection = Connection { parts: parts.clone(), outbox };
        parts.runtime.spawn(async move {
            after(earlier).await;
            connection.serve(reader, writer).await;
            drop(over);
        });
        true
    }

    async fn serve(self, reader: ReadHalf, writer: Arc<WriteHalf>) {
        let Connection { parts, outbox } = self;
        let writing = parts.runtime.spawn(write(outbox.clone(), writer));
        parts.counts.links.one();
        let error = read(reader, &mut Frames::new(parts.clone(), outbox.clone()), &outbox).await;
        outbox.close();
        writing.abort();
        parts.counts.links.minus_one();
        parts.ended(&outbox, error);
    }
}

/// Waits until the link before has been read to its end, so that each peer's messages stay in order.
async fn after(earlier: Option<(Arc<Outbox>, watch::Receiver<()>)>) {
    let Some((outbox, mut over)) = earlier else { return };
    // Nothing is written to it any more. Its reader goes on.
    outbox.close();
    while timeout(EARLIER_LINK, over.changed()).await.is_err() {
        outbox.cut();
    }
}

impl Parts {
    fn ended(&self, outbox: &Outbox, error: LinkError) {
        if error.is_bad_frame() {
            self.counts.bad_frames.one();
        }
        self.topics.link_ended(outbox);
        self.requests.link_ended(outbox);
        if !self.members.ended(outbox, error) {
            return self.topics.forget(outbox.peer);
        }
        self.counts.links_broken.one();
        if self.topics.are_interesting() {
            self.members.want(outbox.peer);
        }
        self.requests.want_gateway();
    }
}
