//! The queue of one subscription: bounded in messages and bytes. What doesn't fit becomes one `Lagged` per publisher, at its place
//! in the publisher's order.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::Event;
use crate::limits::BusLimits;

/// How long a reader of a link may wait for a crowded subscription, in microseconds for each message that the subscriber has taken.
/// A subscriber that takes few messages, or none, so costs the other messages of the link little, or nothing.
const PATIENCE_PER_MESSAGE: u32 = 5;

/// The longest patience, and the shortest that the timer can measure, in microseconds.
const MOST_PATIENCE: u32 = 50_000;
const LEAST_PATIENCE: u32 = 1000;

#[derive(Debug)]
pub(crate) struct Queue {
    most_messages: usize,
    most_bytes: usize,
    state: Mutex<State>,
    /// Wakes readers that wait until this is crowded no longer.
    relief: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What comes first. The topic bounds it, and it takes no room from what follows.
    history: VecDeque<Event>,
    events: VecDeque<Event>,
    bytes: usize,
    /// What was dropped since the last event of its publisher that was queued.
    missed: VecDeque<(NodeId, u64)>,
    /// The history comes first, and is not here yet.
    held: bool,
    waker: Option<Waker>,
    /// How long readers may still wait, in microseconds.
    patience: u32,
    wants_relief: bool,
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
        // What comes first may come before the subscriber has had a turn.
        let state = State { held, patience: MOST_PATIENCE, ..State::default() };
        let (most_messages, most_bytes) = (limits.subscriber_messages, limits.subscriber_bytes);
        Queue { most_messages, most_bytes, state: Mutex::new(state), relief: Notify::new() }
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
        pushed.crowded = self.is_crowded(&state);
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

    fn is_crowded(&self, state: &State) -> bool {
        state.events.len() > self.most_messages / 2 || state.bytes > self.most_bytes / 2
    }

    /// Of two that are crowded the one that may be waited for longest.
    pub(crate) fn most_patient<Q: AsRef<Queue>>(one: Option<Q>, other: Option<Q>) -> Option<Q> {
        one.into_iter().chain(other).max_by_key(|queue| queue.as_ref().patience())
    }

    /// How long a reader may wait for this, in microseconds.
    fn patience(&self) -> u32 {
        self.lock().patience
    }

    /// Waits until this is at most half full, or the patience is used up.
    pub(crate) async fn relieved(&self) {
        let patience = self.patience();
        if patience < LEAST_PATIENCE {
            return;
        }
        let begin = Instant::now();
        // When it has passed, the reader goes on, and what comes may be dropped.
        let _ = timeout(Duration::from_micros(patience.into()), self.until_relieved()).await;
        let waited = begin.elapsed().as_micros().try_into().unwrap_or(u32::MAX);
        let mut state = self.lock();
        state.patience = state.patience.saturating_sub(waited);
    }

    async fn until_relieved(&self) {
        loop {
            let mut relief = std::pin::pin!(self.relief.notified());
            relief.as_mut().enable();
            {
                let mut state = self.lock();
                if !self.is_crowded(&state) {
                    return;
                }
                state.wants_relief = true;
            }
            relief.await;
        }
    }

    /// Something was taken.
    fn tell_relief(&self, mut state: MutexGuard<'_, State>) {
        if state.wants_relief && !self.is_crowded(&state) {
            state.wants_relief = false;
            drop(state);
            self.relief.notify_waiters();
        }
    }

    fn lag(&self, state: &mut State, from: NodeId, missed: u64) {
        state.miss(from, missed);
        if state.events.len() < self.most_messages {
            state.report_missed(from);
        }
    }

    /// What came before the subscription, and after the history that is yet to come.
    pub(super) fn begin(&self, received: impl IntoIterator<Item = Event>) {
        self.lock().history.extend(received);
    }

    /// Puts the history before all that was queued meanwhile, and lets the subscriber read.
    pub(super) fn release(&self, history: impl IntoIterator<Item = Event>) {
        let mut state = self.lock();
        if !state.held {
            return;
        }
        let received = std::mem::take(&mut state.history);
        state.history = history.into_iter().chain(received).collect();
        state.held = false;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn pop(&self) -> Option<Event> {
        let mut state = self.lock();
        let event = state.pop();
        self.tell_relief(state);
        event
    }

    pub(super) fn poll_pop(&self, context: &Context<'_>) -> Poll<Event> {
        let mut state = self.lock();
        let Some(event) = state.pop() else { return state.wait(context) };
        self.tell_relief(state);
        Poll::Ready(event)
    }

    /// Moves up to `most` events, and says how many.
    pub(super) fn pop_many(&self, most: usize, into: &mut Vec<Event>) -> usize {
        let mut state = self.lock();
        let before = into.len();
        while into.len() - before < most {
            let Some(event) = state.pop() else { break };
            into.push(event);
        }
        self.tell_relief(state);
        into.len() - before
    }

    /// Whether something can be popped. If not, the task is woken when it can.
    pub(super) fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let empty = state.history.is_empty() && state.events.is_empty() && state.missed.is_empty();
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
        let Some(event) = self.history.pop_front().or_else(|| self.pop_counted()) else {
            let (from, missed) = self.missed.pop_front()?;
            return Some(Event::Lagged { from, missed });
        };
        self.patience = MOST_PATIENCE.min(self.patience + PATIENCE_PER_MESSAGE);
        Some(event)
    }

    fn pop_counted(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
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
