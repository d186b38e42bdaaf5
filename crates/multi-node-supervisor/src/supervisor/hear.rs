//! What the master does with what is heard of nodes: mostly it is an event for the rules.

use std::time::Duration;

use super::fleet::Event;
use super::run::{Reply, Supervisor};
use super::watch::Heard;
use super::welcome::Spoken;
use crate::control::{ToMaster, ToNode};
use crate::id::NodeId;
use crate::order::OrderError;
use crate::status::ReadyBy;

/// No cause that a node reports is kept longer, in bytes.
const LONGEST_CAUSE: usize = 4096;

impl Supervisor {
    /// `None` where it was dealt with on the spot.
    pub(super) fn hear(&mut self, id: NodeId, heard: Heard) -> Option<Event> {
        Some(match heard {
            Heard::Said(ToMaster::Hello { versions, addresses, capabilities }) => {
                let trial = self.fleet.tries(id);
                let answered = self.members.hello(id, Spoken { versions, capabilities }, &addresses, trial);
                answered.unwrap_or_else(|why| Event::Failed { id, why })
            }
            Heard::Said(ToMaster::Ready) if self.members.attendance(id).is_some() => {
                return self.noted_ready(id, ReadyBy::Itself);
            }
            Heard::Said(ToMaster::Ready) => Event::Ready { id },
            Heard::Said(ToMaster::Failed { why }) => Event::Failed { id, why: shortened(why) },
            Heard::Said(ToMaster::Beat) => Event::Beat { id },
            Heard::Said(ToMaster::Measured { series }) => {
                self.told.tell(id, series);
                return None;
            }
            Heard::Said(ToMaster::Leaving) => {
                // It drains already; what it lacks is who takes its connections.
                let heirs = self.heirs(id);
                self.members.mark_draining(id);
                self.members.tell(id, ToNode::Drain { within: Duration::ZERO, heirs, closing: false });
                Event::Leaving { id }
            }
            Heard::Said(ToMaster::Rejoin { peer }) => {
                self.rejoin(id, peer);
                return None;
            }
            Heard::Said(ToMaster::Drained(drained)) => Event::Drained { id, drained },
            Heard::Said(ToMaster::Ask { ticket, order }) if self.terms.orders_from_nodes => {
                self.asked(order, Reply::Node { id, ticket })
            }
            Heard::Said(ToMaster::Ask { ticket, .. }) => {
                self.members.tell(id, ToNode::Answer { ticket, result: Err(OrderError::NotFromNodes) });
                return None;
            }
            // It comes as `Became`.
            Heard::Said(ToMaster::Exec) => return None,
            Heard::Became => {
                let lacks = self.members.attend(id)?;
                Event::Runs { id, lacks }
            }
            Heard::Noted(note) => return self.noted(id, note),
            Heard::QueuesEmpty => {
                self.members.queues_are_empty();
                return None;
            }
            Heard::Examined { traced, report } => Event::Examined { id, traced, report },
            Heard::Weighs(bytes) => Event::Weighed { id, bytes },
            Heard::Broke(why) => Event::Broken { id, why },
            Heard::Exited(exit) => {
                self.members.tell_primary(id, exit);
                self.members.tell_end(id, exit, &self.exits);
                Event::Exited { id, exit, tally: self.members.tally(id) }
            }
        })
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
