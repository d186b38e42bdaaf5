//! The queue of one subscription: bounded in messages and bytes. What doesn't fit becomes one `Lagged` per publisher, at its place
//! in the publisher's order.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use multi_node_fleet::id::NodeId;

use super::Event;
use crate::limits::BusLimits;

#[derive(Debug)]
pub(super) struct Queue {
    most_messages: usize,
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    /// What was dropped since the last event of its publisher that was queued.
    missed: VecDeque<(NodeId, u64)>,
    /// The history comes first, and is not here yet.
    held: bool,
    waker: Option<Waker>,
}

/// What came of some events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pushed {
    pub(super) dropped: u64,
    /// The queue is more than half full.
    pub(super) crowded: bool,
}

impl Queue {
    pub(super) fn new(limits: &BusLimits, held: bool) -> Queue {
        let state = State { held, ..State::default() };
        let (most_messages, most_bytes) = (limits.subscriber_messages, limits.subscriber_bytes);
        Queue { most_messages, most_bytes, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, events: impl IntoIterator<Item = Event>) -> Pushed {
        let mut state = self.lock();
        let mut pushed = Pushed::default();
        for event in events {
            match event {
                Event::Lagged { from, missed } => self.lag(&mut state, from, missed),
                Event::Message { from, .. } if self.is_full(&state, &event) => {
                    pushed.dropped += 1;
                    state.miss(from, 1);
                }
                event @ Event::Message { .. } => state.append(event),
            }
        }
        pushed.crowded = state.events.len() > self.most_messages / 2 || state.bytes > self.most_bytes / 2;
        let waker = if state.held { None } else { state.waker.take() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        pushed
    }

    fn is_full(&self, state: &State, event: &Event) -> bool {
        // One message always fits, so that a small bound of bytes doesn't lose all of them.
        !state.events.is_empty()
            && (state.events.len() >= self.most_messages || state.bytes + length(event) > self.most_bytes)
    }

    fn lag(&self, state: &mut State, from: NodeId, missed: u64) {
        state.miss(from, missed);
        if state.events.len() < self.most_messages {
            state.report_missed(from);
        }
    }

    /// Puts the history before what was queued meanwhile, and lets the subscriber read.
    pub(super) fn release(&self, history: impl DoubleEndedIterator<Item = Event>) {
        let mut state = self.lock();
        if !state.held {
            return;
        }
        for event in history.rev() {
            state.bytes += length(&event);
            state.events.push_front(event);
        }
        state.held = false;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn pop(&self) -> Option<Event> {
        self.lock().pop()
    }

    pub(super) fn poll_pop(&self, context: &Context<'_>) -> Poll<Event> {
        let mut state = self.lock();
        match state.pop() {
            Some(event) => Poll::Ready(event),
            None => state.wait(context),
        }
    }

    /// Moves up to `most` events, and says how many.
    pub(super) fn pop_many(&self, most: usize, into: &mut Vec<Event>) -> usize {
        let mut state = self.lock();
        let before = into.len();
        while into.len() - before < most {
            let Some(event) = state.pop() else { break };
            into.push(event);
        }
        into.len() - before
    }

    /// Whether something can be popped. If not, the task is woken when it can.
    pub(super) fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let empty = state.events.is_empty() && state.missed.is_empty();
        if state.held || empty { state.wait(context) } else { Poll::Ready(()) }
    }
}

impl State {
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            empty => *empty = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn append(&mut self, event: Event) {
        if !self.missed.is_empty() {
            self.report_missed(event.from());
        }
        self.bytes += length(&event);
        self.events.push_back(event);
    }

    fn miss(&mut self, from: NodeId, number: u64) {
        match self.missed.iter_mut().find(|(publisher, _)| *publisher == from) {
            Some((_, missed)) => *missed = missed.saturating_add(number),
            None => self.missed.push_back((from, number)),
        }
    }

    /// Queues what was missed of this publisher.
    fn report_missed(&mut self, from: NodeId) {
        let place = self.missed.iter().position(|(publisher, _)| *publisher == from);
        if let Some((from, missed)) = place.and_then(|place| self.missed.remove(place)) {
            self.events.push_back(Event::Lagged { from, missed });
        }
    }

    fn pop(&mut self) -> Option<Event> {
        if self.held {
            return None;
        }
        let Some(event) = self.events.pop_front() else {
            let (from, missed) = self.missed.pop_front()?;
            return Some(Event::Lagged { from, missed });
        };
        self.bytes -= length(&event);
        Some(event)
    }
}

fn length(event: &Event) -> usize {
    match event {
        Event::Message { payload, .. } => payload.bytes.len(),
        Event::Lagged { .. } => 0,
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
