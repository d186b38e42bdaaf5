//! The state that the acceptor's thread and the runtime share, and the moves into and out of the sockets' queues.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::serve::gate::{self, Verdict, View};
use crate::serve::load::{Line, LoadTable};
use crate::sys::epoll::{Epoll, event, event_add, monotonic_ms};

/// In this time a runtime has to pick up a connection that it was offered.
pub(super) const ANSWER: Duration = Duration::from_millis(2);
/// So often a process that was refused looks whether everybody else is stuck.
pub(super) const LOOK_AROUND: Duration = Duration::from_millis(250);
/// A connection that has waited so long, while no process took any, is taken by whoever sees it.
pub(super) const STUCK: Duration = Duration::from_millis(10);

/// Tokens of the epoll instance; all others are numbers of doors.
pub(super) const BELL: u64 = u64::MAX;
pub(super) const COMMAND: u64 = u64::MAX - 1;
/// Upper half of the bell's value: a connection waits.
pub(super) const WAITS: u64 = 1 << 32;
/// How many processes the master's ring may wake one after the other.
const MASTER_HOPS: u64 = 16;

/// Makes the doorbell that all processes share.
pub(crate) fn bell() -> io::Result<OwnedFd> {
    event()
}

/// Makes sleepers look again, since a process that others may have waited for is gone.
pub(crate) fn ring(bell: BorrowedFd<'_>) {
    event_add(bell, WAITS | MASTER_HOPS);
}

/// One process's part: what it waits with, and where it stands.
pub(super) struct Shared {
    pub(super) epoll: Epoll,
    pub(super) bell: OwnedFd,
    pub(super) command: OwnedFd,
    pub(super) load: LoadTable,
    pub(super) line: Line,
    /// Some door is asleep. A copy for those who would otherwise take the lock to find that none is.
    pub(super) asleep: AtomicBool,
    pub(super) queue: Mutex<Queue>,
}

/// What the thread and the runtime share, for as long as an `epoll_ctl` takes.
pub(super) struct Queue {
    pub(super) doors: Vec<Door>,
    pub(super) closed: bool,
    pub(super) late: bool,
    /// The thread waits without an end, so that it has to be told when something needs a timer.
    pub(super) endless: bool,
    pub(super) open_to_all: Option<Instant>,
    /// When a connection was first seen waiting, and what the whole fleet had accepted by then.
    pub(super) stuck: Option<(Instant, u64)>,
    pub(super) accepted: u64,
    pub(super) views: Vec<View>,
    /// How often the thread woke, and how often somebody did not do his part in time, for tests.
    pub(super) wakes: u64,
    pub(super) disturbances: u64,
}

/// One listening socket.
pub(super) struct Door {
    pub(super) file: OwnedFd,
    pub(super) state: DoorState,
    pub(super) waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DoorState {
    /// Nobody asks for a connection.
    Unasked,
    /// In the socket's queue.
    Queued,
    /// Asked for, but the gate is closed.
    Asleep,
    /// A connection was offered to the runtime; the instant is gone once it was late.
    Offered(Option<Instant>),
}

impl Shared {
    pub(super) fn new(load: LoadTable, line: Line, bell: OwnedFd, files: Vec<OwnedFd>) -> io::Result<Shared> {
        let door = |file| Door { file, state: DoorState::Unasked, waker: None };
        let queue = Queue {
            doors: files.into_iter().map(door).collect(),
            closed: false,
            late: false,
            endless: true,
            open_to_all: None,
            stuck: None,
            accepted: 0,
            views: Vec::with_capacity(load.lines()),
            wakes: 0,
            disturbances: 0,
        };
        let (epoll, command, asleep) = (Epoll::new()?, event()?, AtomicBool::new(false));
        epoll.add(command.as_fd(), COMMAND)?;
        epoll.add(bell.as_fd(), BELL)?;
        Ok(Shared { epoll, bell, command, load, line, asleep, queue: Mutex::new(queue) })
    }
}

impl Queue {
    /// How long to wait for events: as short as the nearest of the timers, without an end if there is none.
    pub(super) fn patience(&mut self) -> Option<Duration> {
        let offered = self.doors.iter().any(|door| matches!(door.state, DoorState::Offered(Some(_))));
        let asleep = self.doors.iter().any(|door| door.state == DoorState::Asleep);
        let patience = match (offered, asleep) {
            (true, _) => Some(ANSWER),
            (false, true) if self.stuck.is_some() => Some(STUCK),
            (false, true) => Some(LOOK_AROUND),
            (false, false) => None,
        };
        self.endless = patience.is_none();
        patience
    }
}

/// Moves in the queues, made under the lock.
impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under the lock can leave it half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection may be taken from this door without having been offered.
    pub(super) fn may_take(&self, door: usize) -> bool {
        let mut queue = self.lock();
        let unasked = queue.doors.get(door).is_some_and(|door| door.state == DoorState::Unasked);
        unasked && !queue.closed && self.verdict(&mut queue).enter
    }

    /// Somebody wants a connection from this door: into the queue, or to sleep.
    pub(super) fn ask(&self, queue: &mut Queue, door: usize) {
        let mut verdict = self.verdict(queue);
        if !verdict.enter {
            // A connection that ended on another thread after that verdict has found nobody asleep, so look once more.
            queue.doors[door].state = DoorState::Asleep;
            self.set_asleep(true);
            fence(SeqCst);
            verdict = self.verdict(queue);
        }
        if verdict.enter {
            self.enter(queue, door);
            self.update_asleep(queue);
        } else if queue.endless {
            queue.endless = false;
            event_add(self.command.as_fd(), 1);
        }
        if verdict.ring {
            self.ring_all(0);
        }
    }

    pub(super) fn enter(&self, queue: &mut Queue, door: usize) {
        let entry = &mut queue.doors[door];
        entry.state = DoorState::Queued;
        if let Err(error) = self.epoll.add(entry.file.as_fd(), door as u64) {
            tracing::error!(%error, "cannot wait for connections");
            entry.state = DoorState::Unasked;
        }
    }

    /// Nobody wants a connection from this door any more; whether one had been offered.
    pub(super) fn unask(&self, queue: &mut Queue, door: usize) -> bool {
        let Some(entry) = queue.doors.get_mut(door) else { return false };
        let state = std::mem::replace(&mut entry.state, DoorState::Unasked);
        if state == DoorState::Queued {
            let _ = self.epoll.delete(entry.file.as_fd());
        }
        self.update_asleep(queue);
        matches!(state, DoorState::Offered(_))
    }

    /// Leaves every queue, to come back when the runtime has answered.
    pub(super) fn sleep(&self, queue: &mut Queue) {
        for door in queue.doors.iter_mut().filter(|door| door.state == DoorState::Queued) {
            let _ = self.epoll.delete(door.file.as_fd());
            door.state = DoorState::Asleep;
        }
        self.update_asleep(queue);
    }

    /// The runtime lives.
    pub(super) fn answered(&self, queue: &mut Queue) {
        if queue.late && !queue.doors.iter().any(|door| door.state == DoorState::Offered(None)) {
            queue.late = false;
            self.line.set_late(false);
            self.reconsider(queue);
        }
    }

    /// Lets sleepers in if the gate has opened.
    pub(super) fn reconsider(&self, queue: &mut Queue) {
        let asleep = |door: &Door| door.state == DoorState::Asleep;
        if !queue.late && queue.doors.iter().any(asleep) && self.verdict(queue).enter {
            for door in 0..queue.doors.len() {
                if asleep(&queue.doors[door]) {
                    self.enter(queue, door);
                }
            }
            queue.stuck = None;
        }
        self.update_asleep(queue);
    }

    /// Enters every queue that somebody wants to be in, and says whether there was one. Where this process was in the queue
    /// already, it hears only by this of a connection that waits.
    pub(super) fn enter_again(&self, queue: &mut Queue) -> bool {
        let mut entered = false;
        for door in 0..queue.doors.len() {
            let entry = &queue.doors[door];
            if entry.state == DoorState::Queued {
                let _ = self.epoll.delete(entry.file.as_fd());
            }
            if matches!(entry.state, DoorState::Queued | DoorState::Asleep) {
                self.enter(queue, door);
                entered = true;
            }
        }
        self.update_asleep(queue);
        entered
    }

    pub(super) fn update_asleep(&self, queue: &Queue) {
        self.set_asleep(queue.doors.iter().any(|door| door.state == DoorState::Asleep));
    }

    pub(super) fn set_asleep(&self, asleep: bool) {
        if self.asleep.swap(asleep, Relaxed) != asleep {
            self.line.set_asleep(asleep);
        }
    }

    pub(super) fn verdict(&self, queue: &mut Queue) -> Verdict {
        self.load.look(monotonic_ms(), &mut queue.views);
        let verdict = gate::decide(&queue.views, self.line.index());
        let open_to_all = queue.open_to_all.is_some_and(|until| Instant::now() < until);
        Verdict { enter: verdict.enter || open_to_all, ..verdict }
    }

    /// Rings so that every other process can be asked once.
    pub(super) fn ring_all(&self, what: u64) {
        let others = self.load.serving_beside(self.line.index());
        if others > 0 {
            event_add(self.bell.as_fd(), what | others);
        }
    }
}
