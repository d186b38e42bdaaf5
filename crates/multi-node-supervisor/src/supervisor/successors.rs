//! Who takes the connections of nodes that drain.

use std::time::Duration;

use super::run::Supervisor;
use crate::control::ToNode;
use crate::environment;
use crate::id::NodeId;
use crate::status::State;

impl Supervisor {
    /// Who takes the idle connections of a node: its successor in the slot, else a node of a later generation, so that a
    /// connection moves once in a reload, else any that serves.
    pub(super) fn successors(&self, id: NodeId) -> Vec<Vec<NodeId>> {
        let Some((_, own)) = self.fleet.places().find(|(other, _)| *other == id) else { return Vec::new() };
        let mut ranks = vec![Vec::new(); 3];
        for (other, place) in self.fleet.places().filter(|(other, place)| place.state == State::Serving && *other != id)
        {
            let rank = match place {
                successor if successor.slot == own.slot => 0,
                later if later.generation > own.generation => 1,
                _ => 2,
            };
            ranks[rank].push(other);
        }
        ranks.retain(|rank| !rank.is_empty());
        // No node serves at this moment, but one will, and connections can wait for it, unless it waits for them.
        let comes = !self.fleet.is_stopping() && !self.fleet.next_comes_after_the_last();
        if ranks.is_empty() && self.members.join_peers && comes {
            ranks.push(Vec::new());
        }
        ranks
    }

    /// Announces nodes that have begun to serve to the nodes that drain. In a shutdown announces that no successor will come
    /// any more, and then refuses new clients.
    pub(super) fn renew_successors(&mut self) {
        let serving = self.in_state(State::Serving);
        let candidates = (!serving.is_empty() || !self.fleet.is_stopping()).then_some(serving);
        if candidates == self.candidates {
            return;
        }
        // In the queues of sockets that are systemd's clients wait for the next start.
        if candidates.is_none() && !environment::sockets_given() {
            self.members.refuse_newcomers();
        }
        let before = std::mem::replace(&mut self.candidates, candidates).unwrap_or_default();
        let newcomers: Vec<NodeId> =
            self.candidates.iter().flatten().copied().filter(|id| before.binary_search(id).is_err()).collect();
        if newcomers.is_empty() && self.candidates.is_some() {
            return;
        }
        for id in self.in_state(State::Draining) {
            let successors = self.successors(id);
            self.members.tell_newer(id, ToNode::Drain { within: Duration::ZERO, successors, closing: false });
        }
    }

    /// Drains a node. At the deadline the node itself cuts what is left, in time to end before it is killed.
    pub(super) fn drain(&mut self, id: NodeId, within: Duration) {
        let successors = self.successors(id);
        let ends = successors.is_empty() && self.fleet.is_stopping();
        if ends {
            // A master that serves too does not continue alone.
            self.own_drain.begin(within);
        }
        let closing = ends && !environment::sockets_given();
        self.members.drain(id, within, successors, closing);
    }

    /// In ascending order.
    fn in_state(&self, state: State) -> Vec<NodeId> {
        self.fleet.places().filter(|(_, place)| place.state == state).map(|(id, _)| id).collect()
    }
}
