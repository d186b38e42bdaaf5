//! Answers that come, and requests of peers that are handled.

use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::time::{Instant, timeout_at};

use super::error::Failure;
use super::handler::{Handler, Request};
use super::table::{Answered, Key, Requests, Running};
use crate::frame::{Head, Kind};
use crate::link::{NotSent, Outbox};
use crate::payload::Payload;
use crate::remote::RemoteProcess;

/// No peer makes a handler run longer than this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A request of a peer.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    /// How many microseconds the answer may take.
    pub(crate) remaining: u64,
    pub(crate) payload: Payload,
    /// The process of another machine for which the gateway asks.
    pub(crate) by: Option<RemoteProcess>,
    /// The process of another machine that the gateway is to ask.
    pub(crate) to: Option<RemoteProcess>,
}

impl Requests {
    /// A peer answered.
    pub(crate) fn replied(&self, peer: NodeId, number: u64, payload: Payload) {
        self.settle(peer, number, Answered::Payload(payload));
    }

    /// A peer says why it doesn't answer.
    pub(crate) fn failed(&self, peer: NodeId, number: u64, code: u8, text: String) {
        let failure = Failure::decode(code, text);
        if failure == Failure::Overloaded {
            self.counts.requests_overloaded.one();
        }
        self.settle(peer, number, Answered::Failure(failure));
    }

    pub(super) fn settle(&self, peer: NodeId, number: u64, answered: Answered) {
        let mut state = self.lock();
        if state.waiting.get(&number).is_none_or(|waiting| waiting.peer != peer) {
            return;
        }
        let waiting = state.waiting.remove(&number);
        state.answered(peer);
        drop(state);
        if let Some(waiting) = waiting {
            // The asker may have gone meanwhile.
            let _ = waiting.answer.send(answered);
        }
    }

    /// A peer asks.
    pub(crate) fn asked(self: &Arc<Self>, link: &Arc<Outbox>, number: u64, asked: Asked<'_>) {
        let deadline = Instant::now() + Duration::from_micros(asked.remaining).min(LONGEST);
        let key = (link.peer, link.epoch, number);
        let mut state = self.lock();
        let refusal = match state.handler_for(&asked) {
            None => Failure::NoHandler,
            Some(_) if state.running.len() + state.own_in_flight >= self.limits.requests_handled => {
                self.counts.requests_overloaded.one();
                Failure::Overloaded
            }
            Some(_) if state.running.contains_key(&key) => return,
            Some(handler) => {
                let from = asked.by.as_ref().map_or(link.peer, RemoteProcess::id);
                let request = Request { from, payload: asked.payload, deadline };
                // The task waits for the lock before it removes itself.
                let task = self.runtime.spawn(self.clone().handle(link.clone(), key, handler, request));
                state.running.insert(key, Running { task: task.abort_handle(), deadline });
                self.watch_deadline(&mut state, deadline);
                drop(state);
                self.counts.requests_handled.one();
                return;
            }
        };
        drop(state);
        link.control(Head::new(Kind::Failed).seq(number), &[&refusal.encode()]);
    }

    async fn handle(self: Arc<Self>, link: Arc<Outbox>, key: Key, handler: Handler, request: Request) {
        let deadline = request.deadline;
        let result = handler.run(request).await;
        self.count_panic(&result);
        self.answer(&link, key.2, result, deadline).await;
        self.lock().running.remove(&key);
    }

    pub(super) fn count_panic(&self, result: &Result<Payload, Failure>) {
        if matches!(result, Err(Failure::Panicked)) {
            self.counts.handler_panics.one();
        }
    }

    /// Sends the answer as soon as there is room for it.
    async fn answer(&self, link: &Outbox, number: u64, result: Result<Payload, Failure>, deadline: Instant) {
        let payload = match result {
            Ok(payload) => payload,
            Err(failure) => return refuse(link, number, &failure),
        };
        let head = Head::new(Kind::Reply).flags(payload.content.to_flags()).seq(number);
        if payload.bytes.len() > self.limits.message_bytes {
            return refuse(link, number, &too_large(&payload));
        }
        loop {
            match link.send_now(head, &[], &payload.bytes) {
                Ok(()) | Err(NotSent::Closed) => return,
                Err(NotSent::TooLarge) => return refuse(link, number, &too_large(&payload)),
                // After the deadline nobody awaits it.
                Err(NotSent::Full) => match timeout_at(deadline, link.room()).await {
                    Ok(()) => {}
                    Err(_) => return,
                },
            }
        }
    }

    /// The peer no longer awaits the answer.
    pub(crate) fn cancelled(&self, link: &Outbox, number: u64) {
        if let Some(running) = self.lock().running.remove(&(link.peer, link.epoch, number)) {
            self.counts.requests_cancelled.one();
            running.task.abort();
        }
    }
}

fn refuse(link: &Outbox, number: u64, failure: &Failure) {
    link.control(Head::new(Kind::Failed).seq(number), &[&failure.encode()]);
}

fn too_large(payload: &Payload) -> Failure {
    Failure::Failed(format!("the answer has {} bytes, which is more than allowed", payload.bytes.len()))
}
