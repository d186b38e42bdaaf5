//! Joining nodes with each other and with this process: a few pairs at a time, so that what waits to be sent takes few
//! descriptors, however many nodes come at once.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::fleet::Event;
use super::member::Member;
use super::members::{Members, own_info};
use super::run::Supervisor;
use crate::control::{Join, ToNode};
use crate::descriptors::PAIRS_AT_ONCE;
use crate::error::describe;
use crate::id::NodeId;
use crate::mesh::{self, PeerInfo};
use crate::nodes::End;
use crate::sys;

/// How long descriptors are waited for, where this process has none left.
const DESCRIPTORS_WITHIN: Duration = Duration::from_secs(1);

/// How often they are asked for.
const AGAIN: Duration = Duration::from_millis(5);

/// Who is to be joined: each time a node that has come, and one that was there.
#[derive(Debug, Default)]
pub(super) struct Pairs(VecDeque<(NodeId, NodeId)>);

impl Pairs {
    pub(super) fn add(&mut self, newcomer: NodeId, others: impl IntoIterator<Item = NodeId>) {
        self.0.extend(others.into_iter().map(|other| (newcomer, other)));
    }

    /// A node has ended.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.0.retain(|(newcomer, other)| *newcomer != id && *other != id);
    }

    /// Who is joined next with whom.
    fn next(&self) -> Option<(NodeId, NodeId)> {
        self.0.front().copied()
    }

    fn done(&mut self) {
        self.0.pop_front();
    }
}

impl Supervisor {
    /// Deals with an event, and joins those whom the rules have named: nothing else is heard before. `Some`: it is all over.
    pub(super) async fn deal(&mut self, event: Event) -> Option<End> {
        let mut end = self.handle(event);
        while end.is_none()
            && let Some((id, error)) = self.join_all().await
        {
            let why = format!("no streams to its peers: {}", describe(&error));
            end = self.handle(Event::Broken { id, why });
        }
        end
    }

    /// Joins all pairs. `Some`: those of one node could not be joined, and are given up.
    async fn join_all(&mut self) -> Option<(NodeId, io::Error)> {
        let limit = Instant::now() + DESCRIPTORS_WITHIN;
        while let Some((id, _)) = self.members.pairs.next() {
            match self.members.join_some(id) {
                // Whoever sends has a turn.
                Ok(()) => tokio::task::yield_now().await,
                Err(error) if sys::socket::out_of_descriptors(&error) && Instant::now() < limit => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    self.members.pairs.forget(id);
                    return Some((id, error));
                }
            }
        }
        None
    }
}

impl Members {
    /// A node that has come is to be joined with these. The master of another program has nothing to say to its nodes, and
    /// would not hear what they say.
    pub(super) fn join(&mut self, id: NodeId, with: &[NodeId]) {
        if !self.join_peers {
            return;
        }
        if self.outfit.foreign.is_none() {
            self.pairs.add(id, [NodeId::MASTER]);
        }
        self.pairs.add(id, with.iter().copied());
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
        joined
    }

    /// What the newcomer gets; `None` where one of the two has left.
    fn join_pair(&mut self, newcomer: NodeId, other: NodeId) -> io::Result<Option<Join>> {
        let welcome = |id: NodeId| self.get(id).filter(|member| member.is_welcome());
        let greets = |id: NodeId| welcome(id).is_some_and(Member::greets);
        let greets = greets(newcomer) && greets(other);
        let welcome = |id: NodeId| welcome(id).map(|member| member.info);
        let Some(newcomer) = welcome(newcomer) else { return Ok(None) };
        if other.is_master() {
            let (for_master, for_newcomer) = streams(newcomer, own_info(), false)?;
            // Nothing comes on the master's bus: nodes hand connections over to nodes.
            let stream = for_master.stream.ok_or(io::ErrorKind::NotFound)?;
            self.peers.join(newcomer, mesh::transport(stream)?);
            return Ok(Some(for_newcomer));
        }
        let Some(other) = welcome(other) else { return Ok(None) };
        let (for_other, for_newcomer) = streams(newcomer, other, greets)?;
        self.tell(other.id, ToNode::Joined { peers: vec![for_other] });
        Ok(Some(for_newcomer))
    }
}

/// Two streams between two processes: what the second gets, who is joined to the first, and what the first gets.
fn streams(first: PeerInfo, second: PeerInfo, greets: bool) -> io::Result<(Join, Join)> {
    let (stream, bus) = (sys::socket::pair()?, sys::socket::pair()?);
    Ok((
        Join { peer: first, greets, stream: Some(stream.0), bus: Some(bus.0) },
        Join { peer: second, greets, stream: Some(stream.1), bus: Some(bus.1) },
    ))
}
