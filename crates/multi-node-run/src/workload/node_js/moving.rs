//! Connections on their way to a worker: new ones, and those that another worker has passed back.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::members::Server;
use super::message::{self, Brings, HandedBack, PreloadSays};
use super::owned::{Head, owner};
use super::preload::{self, Outcome};
use super::primary::{AHEAD, Primary};
use crate::id::NodeId;

/// How many workers may refuse a connection before its worker keeps it.
const REFUSALS: u8 = 3;

/// A connection that waits for a worker.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) stream: Arc<OwnedFd>,
    /// The worker that has it until then; `None` for a new connection.
    pub(super) holder: Option<Holder>,
    /// The key of its next request, where that is known and requests have owners.
    pub(super) of_request: Option<u64>,
    /// What its holder has read of that request: the connection goes to the owner, or stays.
    pub(super) head: Option<Head>,
}

/// A worker that keeps a connection until another has taken it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    id: NodeId,
    /// What it calls the connection by.
    seq: u64,
    refusals: u8,
}

/// Where a connection goes.
enum Choice {
    Worker {
        id: NodeId,
        owns: bool,
    },
    /// It stays with the worker that has it.
    Holder(Outcome),
    /// It waits.
    Nobody,
}

impl Pending {
    pub(super) fn new(stream: OwnedFd) -> Pending {
        Pending { stream: Arc::new(stream), holder: None, of_request: None, head: None }
    }

    /// A worker has refused it. Returns whether to ask other workers.
    fn refused(&mut self) -> bool {
        self.of_request = None;
        if self.head.is_some() {
            return false;
        }
        let Some(holder) = &mut self.holder else { return true };
        holder.refusals += 1;
        holder.refusals < REFUSALS
    }
}

impl Primary {
    /// Gives waiting connections to their owners, or to the workers in turn. Accepts more only when none is left.
    pub(super) fn hand_out(&mut self, key: &str) {
        while let Some(pending) = self.servers.get_mut(key).and_then(|server| server.waiting.pop()) {
            match self.choose(key, &pending) {
                Choice::Worker { id, owns } => self.pass(key, pending, (id, owns)),
                Choice::Holder(outcome) => self.answer_holder(&pending, outcome),
                Choice::Nobody => return self.keep(key, pending),
            }
        }
        let Some(server) = self.servers.get_mut(key).filter(|server| !server.workers.is_empty()) else { return };
        let missing = AHEAD.saturating_sub(server.gate.available_permits());
        server.gate.add_permits(missing);
    }

    fn keep(&mut self, key: &str, pending: Pending) {
        if let Some(server) = self.servers.get_mut(key) {
            server.waiting.push(pending);
        }
        self.keep_stranded(key);
    }

    /// Which worker gets it. One whose request was read in part goes to the owner alone.
    fn choose(&mut self, key: &str, pending: &Pending) -> Choice {
        let Some(server) = self.servers.get(key) else { return Choice::Nobody };
        let owner = pending.of_request.and_then(|of| owner(of, &server.workers, &self.workers));
        let holder = pending.holder.as_ref().map(|holder| holder.id);
        if pending.head.is_some() && (owner.is_none() || owner == holder) {
            return Choice::Holder(Outcome::Yours);
        }
        let can = |id: &NodeId| pending.head.is_none() || self.workers.get(id).is_some_and(|worker| worker.preload);
        if let Some(id) = owner.filter(can).and_then(|id| self.turns.take(std::iter::once(id))) {
            return Choice::Worker { id, owns: true };
        }
        if pending.head.is_some() {
            return Choice::Holder(Outcome::Refused);
        }
        let any = self.turns.take(server.workers.iter().copied());
        any.map_or(Choice::Nobody, |id| Choice::Worker { id, owns: false })
    }

    fn pass(&mut self, key: &str, pending: Pending, (id, owned): (NodeId, bool)) {
        self.sequence += 1;
        let head = pending.head.as_ref();
        let brings = Brings { moved: pending.holder.is_some(), unread_is_owned: owned && head.is_none(), head };
        let message = message::connection(self.sequence, key, &brings);
        let (Some(server), Some(worker)) = (self.servers.get_mut(key), self.workers.get_mut(&id)) else { return };
        if worker.outbox.try_send((message, Some(pending.stream.clone()))).is_ok() {
            worker.under_way.insert(self.sequence, (key.to_owned(), pending));
            return;
        }
        // It does not read, or its end is about to arrive here.
        server.waiting.push(pending);
        server.workers.remove(&id);
    }

    pub(super) fn answered(&mut self, id: NodeId, ack: u64, accepted: bool) {
        let Some((key, mut pending)) = self.workers.get_mut(&id).and_then(|worker| worker.under_way.remove(&ack))
        else {
            return;
        };
        self.turns.answered(id);
        match self.servers.get_mut(&key).filter(|_| !accepted && pending.refused()) {
            Some(server) => server.waiting.push(pending),
            None => self.answer_holder(&pending, if accepted { Outcome::Taken } else { Outcome::Refused }),
        }
        self.hand_out(&key);
    }

    /// Has a worker finish: first its preload, which passes connections on, then the worker itself.
    pub(super) fn drain(&mut self, id: NodeId) {
        let serves_alone = |server: &Server| !server.workers.iter().any(|other| *other != id);
        let alone = self.servers.values().all(serves_alone);
        self.leave_all(id);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.meets = false;
        self.relay.asked(id);
        if worker.preload { self.tell(id, (preload::drain(alone), None)) } else { self.disconnect(id) }
    }

    fn disconnect(&mut self, id: NodeId) {
        self.sequence += 1;
        self.tell(id, (message::disconnect(self.sequence), None));
    }

    /// A worker passes a connection back.
    pub(super) fn handed_back(&mut self, id: NodeId, back: HandedBack, stream: OwnedFd) {
        let HandedBack { seq, key, head } = back;
        let of_request = head.as_ref().and_then(|head| self.key_of(&stream, head));
        let holder = Some(Holder { id, seq, refusals: 0 });
        let pending = Pending { holder, of_request, head, ..Pending::new(stream) };
        match self.servers.get_mut(&key) {
            Some(server) => {
                server.waiting.push(pending);
                self.hand_out(&key);
            }
            None => self.answer_holder(&pending, Outcome::Refused),
        }
    }

    /// Lets the worker that has it know what became of it.
    fn answer_holder(&self, pending: &Pending, outcome: Outcome) {
        if let Some(holder) = &pending.holder {
            self.tell(holder.id, (preload::handoff_answer(holder.seq, outcome), None));
        }
    }

    /// Leaves connections with the workers that have them, where no worker is left that could take them.
    pub(super) fn keep_stranded(&mut self, key: &str) {
        let Some(server) = self.servers.get_mut(key).filter(|server| server.workers.is_empty()) else { return };
        let waiting = std::mem::take(&mut server.waiting).into_iter();
        let (held, new): (Vec<_>, Vec<_>) = waiting.partition(|pending| pending.holder.is_some());
        server.waiting = new;
        held.iter().for_each(|pending| self.answer_holder(pending, Outcome::Refused));
    }

    pub(super) fn preload_says(&mut self, id: NodeId, says: &PreloadSays) {
        match says {
            PreloadSays::Hello => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.preload = true;
                }
                self.instruct(id);
            }
            PreloadSays::Drained => self.disconnect(id),
            PreloadSays::Failed { why } => {
                crate::log::warn!(%id, why, "the preload of a Node.js program has met an error");
            }
            PreloadSays::Inert { .. } => {}
        }
    }
}
