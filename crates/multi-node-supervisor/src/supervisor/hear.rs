//! What the master does with the events of nodes: most of them go to the rules.

use std::time::Duration;

use super::fleet::Event;
use super::hello_ack::Spoken;
use super::run::{Reply, Supervisor};
use super::watch::NodeEvent;
use super::workload::{NodeNews, NodeView, Reaction};
use crate::command::CommandError;
use crate::control::{ToMaster, ToNode};
use crate::id::NodeId;
use crate::leases::Claim;
use crate::log_buffer::Source;

/// No cause that a node reports is kept longer, in bytes.
const LONGEST_CAUSE: usize = 4096;

/// The number of a node's last lines of output that may show why it has ended.
const LAST_LINES: usize = 20;

impl Supervisor {
    /// `None` where it was dealt with on the spot.
    pub(super) fn hear(&mut self, id: NodeId, event: NodeEvent) -> Option<Event> {
        Some(match event {
            NodeEvent::Said(ToMaster::Hello { versions, addresses, capabilities }) => {
                let trial = self.fleet.tries(id);
                let answered = self.members.hello(id, Spoken { versions, capabilities }, &addresses, trial);
                answered.unwrap_or_else(|why| Event::Failed { id, why })
            }
            NodeEvent::Said(ToMaster::Ready) => return self.react(id, NodeNews::Ready),
            NodeEvent::Said(ToMaster::Failed { why }) => Event::Failed { id, why: shortened(why) },
            NodeEvent::Said(ToMaster::Beat) => Event::Beat { id },
            NodeEvent::Said(ToMaster::Measured { series }) => {
                self.metrics_sink.tell(id, series);
                return None;
            }
            NodeEvent::Said(ToMaster::Leaving) => {
                // It drains already; what it lacks is who takes its connections.
                let successors = self.successors(id);
                self.members.mark_draining(id);
                self.members.tell(id, ToNode::Drain { within: Duration::ZERO, successors, closing: false });
                Event::Leaving { id }
            }
            NodeEvent::Said(ToMaster::Rejoin { peer }) => {
                self.rejoin(id, peer);
                return None;
            }
            NodeEvent::Said(ToMaster::WantPeers) => {
                self.members.want_peers(id);
                return None;
            }
            NodeEvent::Said(ToMaster::WantHandoff { peer }) => {
                self.members.want_handoff(id, peer);
                return None;
            }
            NodeEvent::Said(ToMaster::OpenLink { peer, broken_epoch }) => {
                self.members.open_link(id, peer, broken_epoch);
                return None;
            }
            NodeEvent::Said(ToMaster::SeekLease { ticket, name }) => {
                Event::SeeksLease { name, claim: Claim { id, ticket } }
            }
            NodeEvent::Said(ToMaster::ReturnLease { ticket }) => Event::ReturnsLease(Claim { id, ticket }),
            NodeEvent::Said(ToMaster::Drained(drained)) => Event::Drained { id, drained },
            NodeEvent::Said(ToMaster::Command { ticket, command }) if self.config.commands_from_nodes => {
                self.asked(command, Reply::Node { id, ticket })
            }
            NodeEvent::Said(ToMaster::Command { ticket, .. }) => {
                self.members.tell(id, ToNode::Answer { ticket, result: Err(CommandError::NotFromNodes) });
                return None;
            }
            // The first comes as `Became`, and no node is a gateway.
            NodeEvent::Said(ToMaster::Exec | ToMaster::Gateway(_) | ToMaster::Machines(_)) => return None,
            NodeEvent::Became => {
                let observer = self.members.observer(id);
                return self.react(id, NodeNews::Became(observer));
            }
            NodeEvent::Observed(observation) => return self.react(id, NodeNews::Observed(&observation)),
            NodeEvent::Ended { well } => {
                let written = self.log_buffer.last_of(id, Source::Stderr, LAST_LINES);
                return self.react(id, NodeNews::Ended { well, written });
            }
            NodeEvent::QueuesEmpty => {
                self.members.queues_are_empty();
                return None;
            }
            NodeEvent::Examined { traced, report } => Event::Examined { id, traced, report },
            NodeEvent::Weighs(bytes) => Event::Weighed { id, bytes },
            NodeEvent::Broke(why) => Event::Broken { id, why },
            NodeEvent::Exited(exit) => {
                self.react(id, NodeNews::Exited(exit));
                self.members.tell_end(id, exit, &self.exits);
                Event::Exited { id, exit, tally: self.members.tally(id) }
            }
        })
    }

    /// Lets the workload know; what the rules are to know of that.
    fn react(&mut self, id: NodeId, news: NodeNews<'_>) -> Option<Event> {
        let has_to_prove_itself = self.fleet.has_to_prove_itself(id);
        let node = NodeView { has_to_prove_itself, ..self.members.view(id)? };
        match self.members.template.workload.heard(node, news) {
            Reaction::Nothing => None,
            Reaction::Event(event) => Some(event),
            Reaction::MainProcess(pid) => {
                self.members.name_main(id, pid);
                Some(Event::Beat { id })
            }
            Reaction::Signal => {
                self.members.signal(id);
                None
            }
        }
    }

    pub(super) fn rejoin(&mut self, wants: NodeId, peer: NodeId) {
        if let Err(why) = self.members.rejoin(wants, peer) {
            crate::log::warn!(id = %wants, %peer, "no new stream: {why}");
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_CAUSE {
        let end = (0..=LONGEST_CAUSE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
