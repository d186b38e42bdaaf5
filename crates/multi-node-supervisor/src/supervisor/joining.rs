//! Joining nodes with each other and with this process: they are named to each other, and get streams when one of them asks. A few
//! pairs at a time, so that what waits to be sent takes few descriptors, however many nodes come at once. Pairs for which no
//! descriptors are left wait, and the loop goes on meanwhile.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::fleet::Event;
use super::member::Member;
use super::members::{Members, own_info};
use super::run::Supervisor;
use crate::command::Command;
use crate::control::{Fd, Join, ToNode};
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

/// Two processes that wait for something to be made for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    /// The newcomer, or the one that asks.
    first: NodeId,
    other: NodeId,
    made: Made,
}

/// What is made for two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    /// They are named to each other.
    names: bool,
    /// The program's stream.
    stream: bool,
    /// The stream by which connections are handed off.
    handoff: bool,
}

impl Made {
    const STREAM: Made = Made { names: false, stream: true, handoff: false };
    const HANDOFF: Made = Made { names: false, stream: false, handoff: true };
}

/// The pairs that wait to be joined, or for streams that one of them has asked for.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    queue: VecDeque<Pair>,
    /// When the first pair is given up, while it waits for descriptors.
    limit: Option<Instant>,
}

impl Pairs {
    fn add(&mut self, first: NodeId, other: NodeId, made: Made) {
        self.queue.push_back(Pair { first, other, made });
    }

    /// A node has ended. Returns the newcomers that waited for it, and wait for no other process.
    fn forget(&mut self, id: NodeId) -> Vec<NodeId> {
        let next = self.next();
        let waited = self.queue.iter().filter(|pair| pair.made.names && pair.other == id && pair.first != id);
        let mut waited: Vec<NodeId> = waited.map(|pair| pair.first).collect();
        self.queue.retain(|pair| pair.first != id && pair.other != id);
        if self.next() != next {
            self.limit = None;
        }
        waited.retain(|newcomer| !self.has(*newcomer));
        waited
    }

    /// Whether this newcomer waits to be joined with others.
    fn has(&self, newcomer: NodeId) -> bool {
        self.queue.iter().any(|pair| pair.made.names && pair.first == newcomer)
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

    /// For whom something is made next.
    fn next(&self) -> Option<Pair> {
        self.queue.front().copied()
    }

    fn done(&mut self) {
        self.queue.pop_front();
        self.limit = None;
    }

    /// Leaves the first pair as it is, if it only lacks a hand-off stream.
    fn give_up_handoff(&mut self) -> bool {
        let is_handoff = self.next().is_some_and(|pair| pair.made == Made::HANDOFF);
        if is_handoff {
            self.done();
        }
        is_handoff
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
        while let Some(Pair { first: id, .. }) = self.members.pairs.next() {
            match self.members.join_some(id) {
                // The tasks that send have a turn.
                Ok(()) => tokio::task::yield_now().await,
                Err(error)
                    if sys::socket::out_of_descriptors(&error) && self.members.pairs.may_wait(Instant::now()) =>
                {
                    return None;
                }
                Err(error) if self.members.pairs.give_up_handoff() => {
                    crate::log::warn!(%id, %error, "no hand-off stream for now; the node asks again");
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
        self.join_master(id);
        for other in with {
            self.pairs.add(id, *other, self.made_at_once(id, *other));
        }
        if !self.pairs.has(id) {
            self.tell_all_joined(id);
        }
    }

    /// Queues a node to be joined with this process, where the program has it so.
    pub(super) fn join_master(&mut self, id: NodeId) {
        if self.join_peers && self.template.properties.joins_master {
            self.pairs.add(id, NodeId::MASTER, self.made_at_once(id, NodeId::MASTER));
        }
    }

    /// What a node and another process get when they are joined: what one of them has asked for, or will not ask for, and what a request
    /// with an owner would have to wait for.
    fn made_at_once(&self, id: NodeId, other: NodeId) -> Made {
        let both = |has: fn(&Member) -> bool| [id, other].iter().all(|id| self.get(*id).is_none_or(has));
        let moves_requests = !other.is_master() && both(Member::owns_requests);
        Made {
            names: true,
            stream: self.has_all_streams(id) || self.has_all_streams(other),
            handoff: moves_requests || !both(Member::asks_for_streams),
        }
    }

    /// Whether it has a stream to each process that it is joined with.
    fn has_all_streams(&self, id: NodeId) -> bool {
        self.get(id).map_or(self.wants_peers, |member| member.wants_peers || !member.asks_for_streams())
    }

    /// Queues a process for streams to all that it is joined with, as its program asks, and notes it for those to come.
    pub(super) fn want_peers(&mut self, id: NodeId) {
        if !self.join_peers || self.has_all_streams(id) {
            return;
        }
        let welcome = self.alive.values().filter(|member| member.is_welcome()).map(|member| member.info.id());
        let lacks = |other: &NodeId| *other != id && !self.has_all_streams(*other);
        for other in welcome.filter(lacks).collect::<Vec<_>>() {
            self.pairs.add(other, id, Made::STREAM);
        }
        match self.alive.get_mut(&id) {
            Some(member) => {
                member.wants_peers = true;
                if self.template.properties.joins_master && !self.wants_peers {
                    self.pairs.add(id, NodeId::MASTER, Made::STREAM);
                }
            }
            None => self.wants_peers = true,
        }
    }

    /// Queues two nodes for a hand-off stream, which the first needs.
    pub(super) fn want_handoff(&mut self, id: NodeId, peer: NodeId) {
        if self.join_peers && id != peer && !peer.is_master() {
            self.pairs.add(id, peer, Made::HANDOFF);
        }
    }

    /// Joins nothing with this node any more.
    pub(super) fn forget_pairs(&mut self, id: NodeId) {
        for newcomer in self.pairs.forget(id) {
            self.tell_all_joined(newcomer);
        }
    }

    /// Makes what is next for this process, a few pairs at once.
    fn join_some(&mut self, id: NodeId) -> io::Result<()> {
        let (mut joins, mut joined, mut names) = (Vec::new(), Ok(()), false);
        while joins.len() < PAIRS_AT_ONCE
            && joined.is_ok()
            && let Some(pair) = self.pairs.next().filter(|pair| pair.first == id)
        {
            names |= pair.made.names;
            joined = self.join_pair(pair).map(|join| {
                joins.extend(join);
                self.pairs.done();
            });
        }
        if !joins.is_empty() {
            self.tell(id, ToNode::Joined { peers: joins });
        }
        if joined.is_ok() && names && !self.pairs.has(id) {
            self.tell_all_joined(id);
        }
        joined
    }

    /// What the first of them gets; `None` where one of the two has left.
    fn join_pair(&mut self, Pair { first, other, made }: Pair) -> io::Result<Option<Join>> {
        let Some(first) = self.welcome(first) else { return Ok(None) };
        if other.is_master() {
            let first = first.named();
            let (for_first, for_master) = self.ends(first, (own_info(), true), made, false)?;
            let (info, speaks_bus) = first;
            if made.names {
                self.peers.name(info);
                self.links.joined(info, speaks_bus);
            }
            if let Some(stream) = for_master.stream {
                self.peers.join(info, mesh::transport(stream.into_owned()?)?);
            }
            return Ok(Some(for_first));
        }
        let Some(second) = self.welcome(other) else { return Ok(None) };
        let greets = first.greets(second);
        let (for_first, for_other) = self.ends(first.named(), second.named(), made, greets)?;
        self.tell(other, ToNode::Joined { peers: vec![for_other] });
        Ok(Some(for_first))
    }

    /// A node whose hello was answered.
    fn welcome(&self, id: NodeId) -> Option<&Member> {
        self.get(id).filter(|member| member.is_welcome())
    }

    /// What each of two processes gets: who the other one is, whether that takes part in the bus, and streams to it.
    fn ends(
        &self,
        first: (PeerInfo, bool),
        second: (PeerInfo, bool),
        made: Made,
        greets: bool,
    ) -> io::Result<(Join, Join)> {
        let pair = |is_made: bool| is_made.then(|| self.launcher.launch.pair()).transpose().map(Option::unzip);
        let (stream, handoff) = (pair(made.stream)?, pair(made.handoff)?);
        let end = |(peer, bus), stream: Option<OwnedFd>, handoff: Option<OwnedFd>| {
            let (stream, handoff) = (stream.map(Fd::from), handoff.map(Fd::from));
            Join { peer, greets, bus, stream, handoff }
        };
        Ok((end(second, stream.0, handoff.0), end(first, stream.1, handoff.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_whose_last_peer_has_ended_waits_for_nobody() {
        let (old, other, newcomer) = (NodeId::node(1), NodeId::node(2), NodeId::node(3));
        let mut pairs = Pairs::default();
        let named = Made { names: true, stream: false, handoff: false };
        pairs.add(newcomer, old, named);
        pairs.add(newcomer, other, named);
        assert_eq!(pairs.forget(old), [], "it waits for the other one");
        assert_eq!(pairs.forget(other), [newcomer]);
        pairs.add(newcomer, other, named);
        assert_eq!(pairs.forget(newcomer), [], "it has ended itself");
        assert!(pairs.is_empty());
    }
}
