//! The thread: it waits, decides and offers, and never accepts.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::queue::{ANSWER, BELL, COMMAND, DoorState, LOOK_AROUND, Queue, Shared};

/// How the thread goes on.
enum Woken {
    Wait(Option<Duration>),
    Closed,
}

impl Shared {
    /// Runs until the queue is closed.
    pub(super) fn run(&self) {
        // Otherwise it would stop whoever is about to connect or to serve at each new connection, only to wake the runtime for it;
        // so more connections come to each of its turns.
        multi_node_sys::thread::interrupt_nobody();
        let mut patience = None;
        let mut offered = Vec::new();
        loop {
            match self.epoll.wait(patience) {
                Ok(tokens) => match self.woken(tokens, &mut offered) {
                    Woken::Wait(next) => patience = next,
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
        let _ = self.epoll.delete(self.bell.as_fd());
    }

    /// Does what the events ask for, or the timer if there is none, and collects whom to wake.
    fn woken(&self, tokens: impl Iterator<Item = u64>, offered: &mut Vec<Waker>) -> Woken {
        let mut queue = self.lock();
        queue.wakes += 1;
        let mut caused = false;
        for token in tokens {
            caused = true;
            match token {
                BELL => self.rung(&mut queue),
                COMMAND => {}
                door if self.has_loop(usize::try_from(door).unwrap_or(usize::MAX)) => self.seen(&mut queue),
                door => offered.extend(self.offer(&mut queue, door)),
            }
        }
        if !caused {
            self.timer(&mut queue);
        }
        match queue.closed {
            true => Woken::Closed,
            false => Woken::Wait(queue.patience(caused)),
        }
    }

    /// A connection waits at this door: leaves the queue and lets the runtime know, by what is returned.
    pub(super) fn offer(&self, queue: &mut Queue, door: u64) -> Option<Waker> {
        let door = usize::try_from(door).ok()?;
        self.leave(door);
        let entry = queue.doors.get_mut(door)?;
        if entry.state != DoorState::Queued {
            // It was given up while this event was under way, or even while the queue was being entered. Nobody else hears of it.
            if self.waits(door) {
                self.alarm();
            }
            return None;
        }
        entry.state = DoorState::Offered(Some(Instant::now()));
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
        for door in &mut queue.doors {
            if let DoorState::Offered(Some(since)) = door.state
                && since.elapsed() >= ANSWER
            {
                door.state = DoorState::Offered(None);
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

    /// Takes part in spite of the gate where a connection waits and nobody takes any: those whom the gate prefers may have been
    /// stopped a moment ago.
    fn look_around(&self, queue: &mut Queue) {
        let waits = (0..queue.doors.len()).any(|d| queue.doors[d].state == DoorState::Asleep && self.waits(d));
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

    /// The doorbell: the gate may have opened, and where there was an alarm, a connection waits that nobody else may hear of.
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
