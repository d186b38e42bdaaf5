//! The thread: it waits, decides and offers, and never accepts.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::queue::{ANSWER, COMMAND, LOOK_AROUND, ListenerState, Queue, Shared, WAKE};

/// What the thread does next.
enum Woken {
    Wait(Option<Duration>),
    Closed,
}

impl Shared {
    /// Runs until the queue is closed.
    pub(super) fn run(&self) {
        // Otherwise each new connection would interrupt a client or server process, only to wake the runtime. Without that,
        // the runtime takes more connections in each turn.
        multi_node_sys::thread::interrupt_nobody();
        let mut idle_timeout = None;
        let mut offered = Vec::new();
        loop {
            match self.epoll.wait(idle_timeout) {
                Ok(tokens) => match self.woken(tokens, &mut offered) {
                    Woken::Wait(next) => idle_timeout = next,
                    Woken::Closed => break,
                },
                Err(error) => {
                    multi_node_sys::log::error!(%error, "the acceptor cannot wait for connections");
                    std::thread::sleep(LOOK_AROUND);
                }
            }
            // Not under the lock, which is the first thing that the woken runtime takes.
            offered.drain(..).for_each(Waker::wake);
        }
        let _ = self.epoll.delete(self.wake_fd.as_fd());
    }

    /// Handles the events, or the timer if there are none, and collects the wakers to wake.
    fn woken(&self, tokens: impl Iterator<Item = u64>, offered: &mut Vec<Waker>) -> Woken {
        let mut queue = self.lock();
        queue.wakes += 1;
        let mut caused = false;
        for token in tokens {
            caused = true;
            match token {
                WAKE => self.rung(&mut queue),
                COMMAND => {}
                listener if self.has_loop(listener) => self.seen(&mut queue),
                listener => offered.extend(self.offer(&mut queue, listener)),
            }
        }
        if !caused {
            self.timer(&mut queue);
        }
        match queue.closed {
            true => Woken::Closed,
            false => Woken::Wait(queue.idle_timeout(caused)),
        }
    }

    fn has_loop(&self, listener: u64) -> bool {
        usize::try_from(listener).is_ok_and(|listener| self.event_loop(listener).is_some())
    }

    /// A connection waits at this listener. Leaves the queue and returns the waker of the runtime's task.
    pub(super) fn offer(&self, queue: &mut Queue, listener: u64) -> Option<Waker> {
        let listener = usize::try_from(listener).ok()?;
        self.leave(listener);
        let entry = queue.listeners.get_mut(listener)?;
        if entry.state != ListenerState::Queued {
            // The entry was given up while this event was under way, or while the queue was being entered. No other process
            // learns of it.
            if self.waits(listener) {
                self.alarm();
            }
            return None;
        }
        entry.state = ListenerState::Offered(Some(Instant::now()));
        entry.waker.take()
    }

    /// A connection waits for an event loop, which has it soon if it is not busy. Each gets the same time, so that where many come
    /// the thread has little to do.
    fn seen(&self, queue: &mut Queue) {
        if self.asleep.load(Relaxed) && queue.stuck.is_none() {
            queue.stuck = Some(self.load.accepted());
        }
    }

    fn timer(&self, queue: &mut Queue) {
        self.give_up_on_runtime(queue);
        queue.watching = false;
        if self.asleep.load(Relaxed) {
            self.reconsider(queue);
            self.look_around(queue);
            self.watch(queue);
        }
    }

    /// Lets others have the connections that the runtime has not picked up in time.
    fn give_up_on_runtime(&self, queue: &mut Queue) {
        let mut late = false;
        for listener in &mut queue.listeners {
            if let ListenerState::Offered(Some(since)) = listener.state
                && since.elapsed() >= ANSWER
            {
                listener.state = ListenerState::Offered(None);
                late = true;
            }
        }
        if late {
            queue.late = true;
            queue.disturbances += 1;
            self.line.set_late(true);
            self.sleep(queue);
            self.alarm();
        }
    }

    /// Enters the queue in spite of the gate if a connection waits and no process takes any: those that the gate prefers may
    /// have been stopped a moment ago.
    fn look_around(&self, queue: &mut Queue) {
        let waits =
            (0..queue.listeners.len()).any(|d| queue.listeners[d].state == ListenerState::Asleep && self.waits(d));
        let accepted = self.load.accepted();
        if waits && queue.stuck == Some(accepted) {
            queue.disturbances += 1;
            self.look(queue);
            queue.passed_over.note(&queue.views);
            self.reconsider(queue);
        } else {
            queue.stuck = waits.then_some(accepted);
        }
    }

    /// A write to the wake fd: the gate may have opened. After an alarm a connection may wait that no other process has
    /// noticed.
    fn rung(&self, queue: &mut Queue) {
        let alarms = self.load.alarms();
        let alarmed = std::mem::replace(&mut queue.alarms, alarms) != alarms;
        if !queue.closed && !queue.late {
            self.reconsider(queue);
            if alarmed {
                self.enter_again(queue);
            }
        }
    }
}

#[cfg(test)]
#[path = "thread_tests.rs"]
mod tests;
