//! A request on its way: where it goes, and what its end leaves behind.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::handler::{Handler, Request};
use super::peers::Choice;
use super::table::{Answered, Requests, State, Waiting};
use super::{RequestError, Target};
use crate::frame::{Head, Kind, encode_remote, encode_request_head};
use crate::link::{NotSent, Outbox};
use crate::payload::Payload;
use crate::remote::RemoteProcess;

/// A request before it is sent.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    pub(super) name: &'a str,
    pub(super) payload: &'a Payload,
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
    /// The process of another machine that asks, for which the gateway sends this.
    pub(super) by: Option<&'a RemoteProcess>,
}

/// What came of sending.
pub(super) enum Sent {
    InFlight(InFlight),
    /// Peers have yet to be linked, or to name their handlers.
    NotYet,
}

/// A request that awaits its answer. Dropping it cancels the request.
pub(super) struct InFlight {
    requests: Arc<Requests>,
    /// What an error calls the process that was asked.
    target: Target,
    asked: NodeId,
    kind: Flight,
    answer: oneshot::Receiver<Answered>,
}

enum Flight {
    Remote { number: u64, link: Arc<Outbox> },
    Here { number: u64, task: AbortHandle },
}

impl Requests {
    /// Sends the request if it is known where to.
    pub(super) fn send(self: &Arc<Self>, sending: &Sending<'_>) -> Result<Sent, RequestError> {
        match sending.target {
            Target::Any => self.send_to_any(sending),
            Target::Id(id) if id.is_remote() => self.send_to_remote(id, sending),
            Target::Id(id) => self.send_to(id, sending),
            Target::Slot(slot) => {
                let id = self.in_slot(slot).ok_or(RequestError::NoSuchNode(sending.target))?;
                self.send_to(id, sending)
            }
        }
    }

    /// The process in the slot: during a reload the newer one, which doesn't drain.
    fn in_slot(&self, slot: multi_node_fleet::id::Slot) -> Option<NodeId> {
        let mut ids = self.members.in_slot(slot);
        let state = self.lock();
        if state.own_slot == Some(slot) {
            ids.push(self.me);
        }
        let drains = |id: NodeId| {
            if id == self.me { state.draining } else { state.peers.get(&id).is_some_and(|peer| peer.draining) }
        };
        ids.into_iter().max_by_key(|id| (!drains(*id), *id))
    }

    fn send_to_any(self: &Arc<Self>, sending: &Sending<'_>) -> Result<Sent, RequestError> {
        if self.lock().peers.len() < self.members.speaking_count() {
            self.members.want_all();
        }
        let choice = self.lock().choose(self.me, sending.name);
        match choice {
            Choice::Here => self.send_to(self.me, sending),
            Choice::Peer(peer) => self.send_to(peer, sending),
            Choice::Nobody if self.all_are_synced() => self.send_to_any_elsewhere(sending),
            Choice::Nobody => Ok(Sent::NotYet),
        }
    }

    fn all_are_synced(&self) -> bool {
        let members = self.members.speaking();
        let state = self.lock();
        members.iter().all(|id| state.peers.get(id).is_some_and(|peer| peer.synced))
    }

    pub(super) fn no_handler(&self, sending: &Sending<'_>) -> RequestError {
        RequestError::NoHandler { name: sending.name.to_owned(), target: sending.target }
    }

    fn send_to(self: &Arc<Self>, id: NodeId, sending: &Sending<'_>) -> Result<Sent, RequestError> {
        if id == self.me {
            return self.start_here(sending);
        }
        let mut state = self.lock();
        let Some(peer) = state.peers.get_mut(&id) else {
            drop(state);
            return self.want(id, sending);
        };
        match (peer.has(sending.name), peer.synced) {
            (true, _) => {}
            (false, true) => return Err(self.no_handler(sending)),
            (false, false) => return Ok(Sent::NotYet),
        }
        let link = peer.link.clone();
        self.send_over(state, &link, (id.into(), id), sending, sending.by)
    }

    /// Sends the request over this link. `asked`: what an error calls the process, and which one it is. `process`: that of another
    /// machine of which the request speaks.
    pub(super) fn send_over(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        link: &Arc<Outbox>,
        (target, asked): (Target, NodeId),
        sending: &Sending<'_>,
        process: Option<&RemoteProcess>,
    ) -> Result<Sent, RequestError> {
        let (number, answer) = self.expect_answer(&mut state, link.peer, link.epoch, sending.deadline)?;
        drop(state);
        let kind = Flight::Remote { number, link: link.clone() };
        let in_flight = InFlight { requests: self.clone(), target, asked, kind, answer };
        self.transmit(link, number, sending, process)?;
        self.counts.requests_sent.one();
        Ok(Sent::InFlight(in_flight))
    }

    pub(super) fn want(self: &Arc<Self>, id: NodeId, sending: &Sending<'_>) -> Result<Sent, RequestError> {
        match self.members.speaks_bus(id) {
            None => Err(RequestError::NoSuchNode(sending.target)),
            Some(false) => Err(self.no_handler(sending)),
            Some(true) => {
                self.members.want(id);
                Ok(Sent::NotYet)
            }
        }
    }

    fn expect_answer(
        self: &Arc<Self>,
        state: &mut State,
        peer: NodeId,
        epoch: u64,
        deadline: Instant,
    ) -> Result<(u64, oneshot::Receiver<Answered>), RequestError> {
        if state.waiting.len() >= self.limits.requests_sent {
            self.counts.requests_overloaded.one();
            return Err(RequestError::Overloaded { remote: false });
        }
        state.last_request += 1;
        let number = state.last_request;
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(number, Waiting { peer, epoch, deadline, answer: sender });
        self.watch_deadline(state, deadline);
        if let Some(peer) = state.peers.get_mut(&peer) {
            peer.in_flight += 1;
        }
        Ok((number, receiver))
    }

    fn transmit(
        &self,
        link: &Outbox,
        number: u64,
        sending: &Sending<'_>,
        process: Option<&RemoteProcess>,
    ) -> Result<(), RequestError> {
        let remaining = sending.deadline.saturating_duration_since(Instant::now());
        let remaining = u64::try_from(remaining.as_micros()).unwrap_or(u64::MAX);
        let (kind, mut before) = match process {
            Some(process) => (Kind::RemoteRequest, encode_remote(process)),
            None => (Kind::Request, Vec::new()),
        };
        let head = Head::new(kind).flags(sending.payload.content.to_flags()).seq(number);
        before.extend(encode_request_head(remaining, sending.name));
        link.send_now(head, &before, &sending.payload.bytes).map_err(|error| match error {
            NotSent::Full => {
                self.counts.requests_overloaded.one();
                RequestError::Overloaded { remote: false }
            }
            NotSent::TooLarge => RequestError::TooLarge { length: sending.payload.bytes.len() },
            NotSent::Closed => RequestError::Gone(link.peer),
        })
    }

    fn start_here(self: &Arc<Self>, sending: &Sending<'_>) -> Result<Sent, RequestError> {
        let mut state = self.lock();
        let handler = state.handlers.get(sending.name).cloned().ok_or_else(|| self.no_handler(sending))?;
        if state.own_in_flight + state.running.len() >= self.limits.requests_handled {
            self.counts.requests_overloaded.one();
            return Err(RequestError::Overloaded { remote: false });
        }
        let (number, answer) = self.expect_answer(&mut state, self.me, 0, sending.deadline)?;
        state.own_in_flight += 1;
        drop(state);
        let request = Request { from: self.me, payload: sending.payload.clone(), deadline: sending.deadline };
        let task = self.runtime.spawn(self.clone().handle_own(handler, request, number)).abort_handle();
        self.counts.requests_sent.one();
        self.counts.requests_handled.one();
        let kind = Flight::Here { number, task };
        let (target, asked) = (self.me.into(), self.me);
        Ok(Sent::InFlight(InFlight { requests: self.clone(), target, asked, kind, answer }))
    }

    async fn handle_own(self: Arc<Self>, handler: Handler, request: Request, number: u64) {
        let result = handler.run(request).await;
        self.count_panic(&result);
        let answered = match result {
            Ok(payload) => Answered::Payload(payload),
            Err(failure) => Answered::Failure(failure),
        };
        self.settle(self.me, number, answered);
    }
}

impl InFlight {
    pub(super) async fn answer(mut self, name: &str, timeout: Duration) -> Result<Payload, RequestError> {
        let answered = (&mut self.answer).await.unwrap_or(Answered::Gone);
        if matches!(answered, Answered::TimedOut) {
            self.requests.counts.requests_timed_out.one();
        }
        answered.into_result(name, self.target, self.asked, timeout)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.requests.lock();
        match &self.kind {
            Flight::Here { number, task } => {
                state.waiting.remove(number);
                state.own_in_flight -= 1;
                task.abort();
            }
            Flight::Remote { number, link } => {
                // It is still there if no answer came.
                if state.waiting.remove(number).is_some() {
                    state.answered(link.peer);
                    drop(state);
                    link.control(Head::new(Kind::Cancel).seq(*number), &[]);
                }
            }
        }
    }
}
