//! Joining nodes with each other and with this process: a few pairs at a time, so that what waits to be sent takes few
//! descriptors, however many nodes come at once. Pairs for which no descriptors are left wait, and the loop goes on meanwhile.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::fleet::Event;
use super::member::Member;
use super::members::{Members, own_info};
use super::run::Supervisor;
use crate::command::Command;
use crate::control::{Join, ToNode};
use crate::descriptors::PAIRS_AT_ONCE;
use crate::error::describe;
use crate::id::NodeId;
use crate::mesh::{self, PeerInfo};
use crate::process_links::End;
use crate::sys;

/// How long descriptors are waited for, where this process has none left.
const DESCRIPTORS_WITHIN: Duration = Duration::from_secs(1);

/// How often they are asked for.
const AGAIN: Duration = Duration::from_millis(5);

/// The pairs that wait to be joined: a newcomer, and a process that was there.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    queue: VecDeque<(NodeId, NodeId)>,
    /// When the first pair is given up, while it waits for descriptors.
    limit: Option<Instant>,
}

impl Pairs {
    pub(super) fn add(&mut self, newcomer: NodeId, others: impl IntoIterator<Item = NodeId>) {
        self.queue.extend(others.into_iter().map(|other| (newcomer, other)));
    }

    /// A node has ended. Returns the newcomers that waited for it, and wait for no other process.
    pub(super) fn forget(&mut self, id: NodeId) -> Vec<NodeId> {
        let first = self.next();
        let waited = self.queue.iter().filter(|(newcomer, other)| *other == id && *newcomer != id);
        let mut waited: Vec<NodeId> = waited.map(|(newcomer, _)| *newcomer).collect();
        self.queue.retain(|(newcomer, other)| *newcomer != id && *other != id);
        if self.next() != first {
            self.limit = None;
        }
        waited.retain(|newcomer| !self.has(*newcomer));
        waited
    }

    /// Whether this newcomer waits to be joined with others.
    pub(super) fn has(&self, newcomer: NodeId) -> bool {
        self.queue.iter().any(|(waiting, _)| *waiting == newcomer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When waiting pairs are tried again. Never, where none waits.
    pub(super) async fn due(&self) {
        match self.limit {
            Some(_) => tokio::time::sleep(AGAIN).await,
            None => std::future::pending().await,
        }
    }

    /// Who is joined next with whom.
    fn next(&self) -> Option<(NodeId, NodeId)> {
        self.queue.front().copied()
    }

    fn done(&mut self) {
        self.queue.pop_front();
        self.limit = None;
    }

    /// Whether the first pair may wait for descriptors.
    fn may_wait(&mut self, now: Instant) -> bool {
        now < *self.limit.get_or_insert(now + DESCRIPTORS_WITHIN)
    }
}

impl Supervisor {
    /// Deals with an event, and joins the nodes that the rules have named before the next event. `Some`: it is all over.
    pub(super) async fn deal(&mut self, event: Event) -> Option<End> {
        if let Event::Asked { command: Command::Reload | Command::ReloadNow | Command::Upgrade, .. } = event {
            self.members.template.tls.look().await;
        }
        match self.handle(event) {
            None => self.join().await,
            end => end,
        }
    }

    /// Joins the nodes that wait for it, and tells the rules of those that cannot be joined. `Some`: it is all over.
    pub(super) async fn join(&mut self) -> Option<End> {
        while let Some((id, error)) = self.join_all().await {
            let why = format!("no streams to its peers: {}", describe(&error));
            if let Some(end) = self.handle(Event::Broken { id, why }) {
                return Some(end);
            }
        }
        None
    }

    /// Joins all pairs for which there are descriptors. `Some`: those of one node could not be joined, and are given up.
    async fn join_all(&mut self) -> Option<(NodeId, io::Error)> {
        while let Some((id, _)) = self.members.pairs.next() {
            match self.members.join_some(id) {
                // The tasks that send have a turn.
                Ok(()) => tokio::task::yield_now().await,
                Err(error)
                    if sys::socket::out_of_descriptors(&error) && self.members.pairs.may_wait(Instant::now()) =>
                {
                    return None;
                }
                Err(error) => {
                    self.members.forget_pairs(id);
                    return Some((id, error));
                }
            }
        }
        None
    }
}

impl Members {
    /// Queues a newcomer to be joined with these.
    pub(super) fn join(&mut self, id: NodeId, with: &[NodeId]) {
        self.introduce_gateway(id);
        if !self.join_peers {
            return self.tell_all_joined(id);
        }
        if self.template.properties.joins_master {
            self.pairs.add(id, [NodeId::MASTER]);
        }
        self.pairs.add(id, with.iter().copied());
        if !self.pairs.has(id) {
            self.tell_all_joined(id);
        }
    }

    /// Joins nothing with this node any more.
    pub(super) fn forget_pairs(&mut self, id: NodeId) {
        for newcomer in self.pairs.forget(id) {
            self.tell_all_joined(newcomer);
        }
    }

    /// Joins this node with the next few.
    fn join_some(&mut self, id: NodeId) -> io::Result<()> {
        let (mut joins, mut joined) = (Vec::new(), Ok(()));
        while joins.len() < PAIRS_AT_ONCE
            && joined.is_ok()
            && let Some((_, other)) = self.pairs.next().filter(|(newcomer, _)| *newcomer == id)
        {
            joined = self.join_pair(id, other).map(|join| {
                joins.extend(join);
                self.pairs.done();
            });
        }
        if !joins.is_empty() {
            self.tell(id, ToNode::Joined { peers: joins });
        }
        if joined.is_ok() && !self.pairs.has(id) {
            self.tell_all_joined(id);
        }
        joined
    }

    /// What the newcomer gets; `None` where one of the two has left.
    fn join_pair(&mut self, newcomer: NodeId, other: NodeId) -> io::Result<Option<Join>> {
        let Some(newcomer) = self.welcome(newcomer) else { return Ok(None) };
        if other.is_master() {
            let (newcomer, bus) = (newcomer.info, newcomer.speaks_bus());
            let streams = Streams { greets: false, first_bus: bus, second_bus: true };
            let (for_master, for_newcomer) = self.streams(newcomer, own_info(), streams)?;
            // Nothing comes on the master's hand-off stream: nodes hand connections over to nodes.
            self.peers.join(newcomer, mesh::transport(for_master.stream.into_owned()?)?);
            self.links.joined(newcomer, bus);
            return Ok(Some(for_newcomer));
        }
        let Some(other) = self.welcome(other) else { return Ok(None) };
        let streams = Streams {
            greets: newcomer.greets(other),
            first_bus: newcomer.speaks_bus(),
            second_bus: other.speaks_bus(),
        };
        let (newcomer, other) = (newcomer.info, other.info);
        let (for_other, for_newcomer) = self.streams(newcomer, other, streams)?;
        self.tell(other.id(), ToNode::Joined { peers: vec![for_other] });
        Ok(Some(for_newcomer))
    }

    /// A node whose hello was answered.
    fn welcome(&self, id: NodeId) -> Option<&Member> {
        self.get(id).filter(|member| member.is_welcome())
    }

    /// Two streams between two processes: what the second gets, who is joined to the first, and what the first gets.
    fn streams(&self, first: PeerInfo, second: PeerInfo, speak: Streams) -> io::Result<(Join, Join)> {
        let Streams { greets, first_bus, second_bus } = speak;
        let (stream, handoff) = (self.launcher.launch.pair()?, self.launcher.launch.pair()?);
        Ok((
            Join { peer: first, greets, bus: first_bus, stream: stream.0.into(), handoff: handoff.0.into() },
            Join { peer: second, greets, bus: second_bus, stream: stream.1.into(), handoff: handoff.1.into() },
        ))
    }
}

/// What the processes of a pair speak.
#[derive(Clone, Copy)]
struct Streams {
    /// Both begin their hand-off stream with a hello.
    greets: bool,
    /// The first takes part in the bus.
    first_bus: bool,
    second_bus: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_whose_last_peer_has_ended_waits_for_nobody() {
        let (old, other, newcomer) = (NodeId::node(1), NodeId::node(2), NodeId::node(3));
        let mut pairs = Pairs::default();
        pairs.add(newcomer, [old, other]);
        assert_eq!(pairs.forget(old), [], "it waits for the other one");
        assert_eq!(pairs.forget(other), [newcomer]);
        pairs.add(newcomer, [other]);
        assert_eq!(pairs.forget(newcomer), [], "it has ended itself");
        assert!(pairs.is_empty());
    }
}
