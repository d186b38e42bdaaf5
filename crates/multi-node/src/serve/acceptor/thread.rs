//! The thread: it waits, decides and offers, and never accepts.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::queue::{ANSWER, BELL, COMMAND, DoorState, LOOK_AROUND, Queue, STUCK, Shared, WAITS};
use crate::sys::epoll::{event_add, event_take, is_readable};

/// So long the gate is ignored where connections wait that nobody takes.
const OPEN_TO_ALL: Duration = Duration::from_secs(1);

/// How the thread goes on.
enum Woken {
    Wait(Option<Duration>),
    Closed,
}

impl Shared {
    /// Runs until the queue is closed.
    pub(super) fn run(&self) {
        let mut patience = None;
        let mut offered = Vec::new();
        loop {
            match self.epoll.wait(patience) {
                Ok(tokens) => match self.woken(tokens, &mut offered) {
                    Woken::Wait(next) => patience = next,
                    Woken::Closed => break,
                },
                Err(error) => {
                    tracing::error!(%error, "the acceptor cannot wait for connections");
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
        let mut idle = true;
        for token in tokens {
            idle = false;
            match token {
                BELL => self.rung(&mut queue, event_take(self.bell.as_fd())),
                COMMAND => drop(event_take(self.command.as_fd())),
                door => offered.extend(self.offer(&mut queue, door)),
            }
        }
        if idle {
            self.timer(&mut queue);
        }
        match queue.closed {
            true => Woken::Closed,
            false => Woken::Wait(queue.patience()),
        }
    }

    /// A connection waits at this door: leaves the queue and lets the runtime know.
    fn offer(&self, queue: &mut Queue, door: u64) -> Option<Waker> {
        let entry = queue.doors.get_mut(usize::try_from(door).ok()?)?;
        let _ = self.epoll.delete(entry.file.as_fd());
        // The runtime may have left the queue after the event came; then it has rung, if somebody has to know.
        if entry.state != DoorState::Queued {
            return None;
        }
        entry.state = DoorState::Offered(Some(Instant::now()));
        entry.waker.take()
    }

    fn timer(&self, queue: &mut Queue) {
        self.give_up_on_runtime(queue);
        if self.asleep.load(Relaxed) {
            self.reconsider(queue);
            self.look_around(queue);
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
            self.ring_all(WAITS);
        }
    }

    /// Takes part in spite of the gate where connections wait and nobody takes them: those whom the gate prefers may have been
    /// stopped a moment ago.
    fn look_around(&self, queue: &mut Queue) {
        let accepted = self.load.accepted();
        let waits = || queue.doors.iter().any(|d| d.state == DoorState::Asleep && is_readable(d.file.as_fd()));
        let nobody_took = accepted == queue.accepted && waits();
        queue.accepted = accepted;
        queue.stuck = match queue.stuck {
            Some((since, then)) if nobody_took && accepted == then => {
                if since.elapsed() >= STUCK {
                    queue.disturbances += 1;
                    queue.open_to_all = Some(Instant::now() + OPEN_TO_ALL);
                    self.reconsider(queue);
                    return;
                }
                Some((since, then))
            }
            _ => nobody_took.then(|| (Instant::now(), accepted)),
        };
    }

    /// The doorbell: comes in, or passes the ring on to the next.
    fn rung(&self, queue: &mut Queue, value: u64) {
        let (waits, hops) = (value >= WAITS, value & (WAITS - 1));
        let was_asleep = self.asleep.load(Relaxed);
        let may_enter = !queue.closed && !queue.late && (was_asleep || waits) && self.verdict(queue).enter;
        let entered = may_enter && self.enter_again(queue);
        if !entered && hops > 1 {
            // To the end of the bell's queue, so that the next one hears it.
            let _ = self.epoll.delete(self.bell.as_fd());
            let _ = self.epoll.add(self.bell.as_fd(), BELL);
            event_add(self.bell.as_fd(), (hops - 1) | if waits { WAITS } else { 0 });
        }
    }
}
