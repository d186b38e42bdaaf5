//! The deadlines of all requests in flight, which one task looks at.
//!
//! A timer of its own for each request would cost a good part of a round trip: to set one makes the runtime wake itself. Almost no
//! request reaches its deadline, so the task sleeps until the earliest that it knows, and then looks for the next.

use std::sync::Arc;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::table::{Answered, Requests, State, Waiting};

impl Requests {
    /// Makes sure that somebody looks at this deadline. The task ends when nothing is in flight.
    pub(super) fn watch_deadline(self: &Arc<Self>, state: &mut State, deadline: Instant) {
        match state.next_deadline {
            Some(next) if next <= deadline => {}
            Some(_) => {
                state.next_deadline = Some(deadline);
                self.earlier_deadline.notify_one();
            }
            None => {
                state.next_deadline = Some(deadline);
                self.runtime.spawn(self.clone().look_at_deadlines());
            }
        }
    }

    async fn look_at_deadlines(self: Arc<Self>) {
        loop {
            let next = self.lock().next_deadline;
            let Some(next) = next else { return };
            tokio::select! {
                () = sleep_until(next) => {
                    if !self.end_overdue() {
                        return;
                    }
                }
                () = self.earlier_deadline.notified() => {}
            }
        }
    }

    /// Ends what is overdue. False when nothing else is in flight.
    fn end_overdue(&self) -> bool {
        let mut state = self.lock();
        let (waiting, running) = state.take_overdue(Instant::now());
        state.next_deadline = state.earliest_deadline();
        let goes_on = state.next_deadline.is_some();
        drop(state);
        for waiting in waiting {
            // The asker may have gone meanwhile.
            let _ = waiting.answer.send(Answered::TimedOut);
        }
        // Their askers have timed out too.
        running.iter().for_each(AbortHandle::abort);
        goes_on
    }
}

impl State {
    fn take_overdue(&mut self, now: Instant) -> (Vec<Waiting>, Vec<AbortHandle>) {
        let numbers: Vec<u64> =
            self.waiting.iter().filter(|(_, waiting)| waiting.deadline <= now).map(|(number, _)| *number).collect();
        let waiting: Vec<Waiting> = numbers.iter().filter_map(|number| self.waiting.remove(number)).collect();
        waiting.iter().for_each(|waiting| self.answered(waiting.peer));
        let overdue = self.running.extract_if(|_, running| running.deadline <= now);
        (waiting, overdue.map(|(_, running)| running.task).collect())
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(|waiting| waiting.deadline);
        waiting.chain(self.running.values().map(|running| running.deadline)).min()
    }
}
