//! Connections on their way to a worker: new ones, and those that a draining worker has passed back.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::message::{self, HandedBack, PreloadSays};
use super::primary::{AHEAD, Primary, Server};
use crate::id::NodeId;

/// How many workers may refuse a connection before its worker keeps it.
const REFUSALS: u8 = 3;

/// A connection that waits for a worker.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) stream: Arc<OwnedFd>,
    /// The worker that has it until then; `None` for a new connection.
    pub(super) holder: Option<Holder>,
}

/// A draining worker, which keeps a connection until another has taken it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    id: NodeId,
    /// What it calls the connection by.
    seq: u64,
    refusals: u8,
}

impl Pending {
    pub(super) fn new(stream: OwnedFd) -> Pending {
        Pending { stream: Arc::new(stream), holder: None }
    }

    /// A worker has refused it. Returns whether to ask other workers.
    pub(super) fn refused(&mut self) -> bool {
        let Some(holder) = &mut self.holder else { return true };
        holder.refusals += 1;
        holder.refusals < REFUSALS
    }
}

impl Primary {
    /// Gives waiting connections to the workers in turn. Accepts more only when none is left.
    pub(super) fn hand_out(&mut self, key: &str) {
        let Some(server) = self.servers.get_mut(key) else { return };
        while let Some(pending) = server.waiting.pop() {
            let Some(id) = self.turns.take(server.workers.iter().copied()) else {
                server.waiting.push(pending);
                return self.keep_stranded(key);
            };
            self.sequence += 1;
            let message = message::connection(self.sequence, key, pending.holder.is_some());
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            let outgoing = (message, Some(pending.stream.clone()));
            worker.under_way.insert(self.sequence, (key.to_owned(), pending));
            if worker.outbox.try_send(outgoing).is_err() {
                // It does not read, or its end is about to arrive here.
                worker
                    .under_way
                    .remove(&self.sequence)
                    .into_iter()
                    .for_each(|(_, pending)| server.waiting.push(pending));
                server.workers.remove(&id);
            }
        }
        if !server.workers.is_empty() {
            let missing = AHEAD.saturating_sub(server.gate.available_permits());
            server.gate.add_permits(missing);
        }
    }

    pub(super) fn answered(&mut self, id: NodeId, ack: u64, accepted: bool) {
        let Some((key, mut pending)) = self.workers.get_mut(&id).and_then(|worker| worker.under_way.remove(&ack))
        else {
            return;
        };
        self.turns.answered(id);
        match self.servers.get_mut(&key).filter(|_| !accepted && pending.refused()) {
            Some(server) => server.waiting.push(pending),
            None => self.answer_holder(&pending, accepted),
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
        if worker.preload { self.tell(id, (message::drain(alone), None)) } else { self.disconnect(id) }
    }

    fn disconnect(&mut self, id: NodeId) {
        self.sequence += 1;
        self.tell(id, (message::disconnect(self.sequence), None));
    }

    /// A draining worker passes a connection back.
    pub(super) fn handed_back(&mut self, id: NodeId, back: &HandedBack, stream: OwnedFd) {
        let holder = Some(Holder { id, seq: back.seq, refusals: 0 });
        let pending = Pending { stream: Arc::new(stream), holder };
        match self.servers.get_mut(&back.key) {
            Some(server) => {
                server.waiting.push(pending);
                self.hand_out(&back.key);
            }
            None => self.answer_holder(&pending, false),
        }
    }

    /// Lets the worker that has it know what became of it.
    pub(super) fn answer_holder(&self, pending: &Pending, taken: bool) {
        if let Some(holder) = &pending.holder {
            self.tell(holder.id, (message::handoff_answer(holder.seq, taken), None));
        }
    }

    /// Leaves connections with the workers that have them, where no worker is left that could take them.
    pub(super) fn keep_stranded(&mut self, key: &str) {
        let Some(server) = self.servers.get_mut(key).filter(|server| server.workers.is_empty()) else { return };
        let waiting = std::mem::take(&mut server.waiting).into_iter();
        let (held, new): (Vec<_>, Vec<_>) = waiting.partition(|pending| pending.holder.is_some());
        server.waiting = new;
        held.iter().for_each(|pending| self.answer_holder(pending, false));
    }

    pub(super) fn preload_says(&mut self, id: NodeId, says: &PreloadSays) {
        match says {
            PreloadSays::Hello => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.preload = true;
                }
            }
            PreloadSays::Drained => self.disconnect(id),
            PreloadSays::Failed { why } => {
                crate::log::warn!(%id, why, "the preload of a Node.js program has met an error");
            }
            PreloadSays::Inert { .. } => {}
        }
    }
}
