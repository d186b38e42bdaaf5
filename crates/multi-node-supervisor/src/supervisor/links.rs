//! The master's part in the bus: it makes the links that processes ask for, and takes part itself.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use multi_node_bus::{Bus, RemoteProcess, Wanted};

use super::link_epochs::LinkEpochs;
use super::member::Member;
use super::members::Members;
use crate::control::{self, ToNode};
use crate::id::NodeId;
use crate::machines::Machine;
use crate::mesh::PeerInfo;

/// The master's own bus, and the links that it has made.
#[derive(Debug)]
pub(super) struct Links {
    bus: Bus,
    wanted: Wanted,
    epochs: LinkEpochs,
}

impl Links {
    pub(super) fn new(bus: Bus) -> Links {
        // A master names its nodes to itself as they come.
        bus.members_complete();
        Links { wanted: bus.wanted(), bus, epochs: LinkEpochs::default() }
    }

    /// The link that the master's own bus wants next. Cancel-safe.
    pub(super) async fn wanted(&mut self) -> (NodeId, u64) {
        let wanted = self.wanted.recv().await;
        (wanted.peer, wanted.broken_epoch)
    }

    /// A node is joined with the master.
    pub(super) fn joined(&self, node: PeerInfo, speaks_bus: bool) {
        self.bus.joined(node.id(), node.slot(), speaks_bus);
    }

    /// The master can ask processes of these machines by their ids.
    pub(super) fn remember(&self, machines: &[Machine]) {
        RemoteProcess::all_of(machines).for_each(|process| self.bus.remember(process));
    }

    /// The gateway takes part.
    pub(super) fn gateway_joined(&self) {
        self.bus.joined(NodeId::GATEWAY, None, true);
    }

    /// The gateway has ended. Another one will have its id, so its links keep their epochs.
    pub(super) fn gateway_gone(&mut self) {
        self.bus.gone(NodeId::GATEWAY);
        self.epochs.renew(NodeId::GATEWAY);
    }

    /// A process has ended.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.bus.gone(id);
        self.epochs.forget(id);
    }
}

impl Member {
    /// Whether it takes part in the bus.
    pub(super) fn speaks_bus(&self) -> bool {
        control::has_capability(&self.capabilities, control::BUS)
    }
}

impl Members {
    /// Tells a newcomer that it has heard of all others.
    pub(super) fn tell_all_joined(&self, id: NodeId) {
        if self.get(id).is_some_and(Member::speaks_bus) {
            self.tell(id, ToNode::AllJoined);
        }
    }

    /// Makes the link that one process wants to another: one socket pair, of which each gets an end.
    pub(super) fn open_link(&mut self, wants: NodeId, other: NodeId, broken_epoch: u64) {
        let pair = (wants.min(other), wants.max(other));
        if pair.0 == pair.1 || !self.takes_part(pair.0, pair.1) || !self.takes_part(pair.1, pair.0) {
            return;
        }
        let Some(epoch) = self.links.epochs.next(pair, broken_epoch, Instant::now()) else { return };
        let opened = self.launcher.launch.pair().and_then(|(to_first, to_second)| {
            self.pass_link(pair.0, (pair.1, epoch), to_first)?;
            self.pass_link(pair.1, (pair.0, epoch), to_second)
        });
        if let Err(error) = opened {
            crate::log::warn!(first = %pair.0, second = %pair.1, %error, "no link of the bus for now; it is asked for again");
        }
    }

    /// A master that has no streams to its nodes is still asked for reloads by other machines.
    fn takes_part(&self, id: NodeId, with: NodeId) -> bool {
        match id {
            NodeId::MASTER => self.template.properties.joins_master || with == NodeId::GATEWAY,
            NodeId::GATEWAY => self.has_gateway_up(),
            _ => self.get(id).is_some_and(|member| member.is_welcome() && member.speaks_bus()),
        }
    }

    fn pass_link(&self, to: NodeId, (peer, epoch): (NodeId, u64), link: OwnedFd) -> io::Result<()> {
        if to.is_master() {
            return self.links.bus.attach(peer, epoch, UnixStream::from(link)).map(drop);
        }
        let opened = ToNode::LinkOpened { peer, epoch, link: link.into() };
        if to == NodeId::GATEWAY {
            self.tell_gateway(opened);
        } else {
            self.tell(to, opened);
        }
        Ok(())
    }
}
