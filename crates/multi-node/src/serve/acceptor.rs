//! The acceptor: which process takes the next connection.
//!
//! All processes share the listening sockets. Each has a thread that waits for them with exclusive wake-ups, so that a new
//! connection wakes one process. That thread does not accept: it leaves the queue and offers the connection to the runtime,
//! which accepts it and asks for the next, which enters the queue anew, at its end. That alone makes processes take turns.
//! A runtime that does not answer within [`ANSWER`] has lost the connection: the thread rings the doorbell, an eventfd that all
//! processes share, and another takes it.
//!
//! Before a process enters the queue it asks the [gate](super::gate). One that is refused sleeps until one of its own
//! connections ends, until it is rung for, or until [`LOOK_AROUND`] has passed. Whoever decides also looks whether a sleeper
//! should come back, and rings for it. The bell's value says what it is about: its lower half how many more
//! processes may be asked, its upper half whether a connection waits that everybody should look for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::gate::{self, Verdict, View};
use super::load::{Line, LoadTable};
use crate::sys::epoll::{Epoll, event, event_add, event_take, is_readable, monotonic_ms};

/// In this time a runtime has to pick up a connection that it was offered.
const ANSWER: Duration = Duration::from_millis(2);
/// So often a process that was refused looks whether everybody else is stuck.
const LOOK_AROUND: Duration = Duration::from_millis(125);
/// A connection that has waited so long, while no process took any, is taken by whoever sees it.
const STUCK: Duration = Duration::from_millis(4);
/// So long the gate is ignored after that.
const OPEN_TO_ALL: Duration = Duration::from_secs(1);

const BELL: u64 = u64::MAX;
const COMMAND: u64 = u64::MAX - 1;
/// Upper half of the bell's value: a connection waits.
const WAITS: u64 = 1 << 32;
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

/// One process's place in the queues of the listening sockets; clones are the same place.
#[derive(Clone)]
pub(super) struct Acceptor(Arc<Shared>);

struct Shared {
    epoll: Epoll,
    bell: OwnedFd,
    command: OwnedFd,
    load: LoadTable,
    line: Line,
    /// Some door is asleep. A copy for those who would otherwise take the lock to find that none is.
    asleep: AtomicBool,
    queue: Mutex<Queue>,
}

/// What the thread and the runtime share, for as long as an `epoll_ctl` takes.
struct Queue {
    doors: Vec<Door>,
    closed: bool,
    late: bool,
    /// The thread waits without an end, so that it has to be told when something needs a timer.
    endless: bool,
    open_to_all: Option<Instant>,
    /// When a connection was first seen waiting, and what the whole fleet had accepted by then.
    stuck: Option<(Instant, u64)>,
    accepted: u64,
    views: Vec<View>,
    /// How often the thread woke, for tests.
    wakes: u64,
}

/// One listening socket.
struct Door {
    file: OwnedFd,
    state: DoorState,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DoorState {
    /// Nobody asks for a connection.
    Unasked,
    /// In the socket's queue.
    Queued,
    /// Asked for, but the gate is closed.
    Asleep,
    /// A connection was offered to the runtime; the instant is gone once it was late.
    Offered(Option<Instant>),
}

impl Acceptor {
    /// Starts the thread. The receiver resolves when it has ended.
    pub(super) fn start(
        load: LoadTable,
        line: Line,
        bell: OwnedFd,
        files: Vec<OwnedFd>,
    ) -> io::Result<(Acceptor, oneshot::Receiver<()>)> {
        let door = |file| Door { file, state: DoorState::Unasked, waker: None };
        let queue = Queue {
            doors: files.into_iter().map(door).collect(),
            closed: false,
            late: false,
            endless: false,
            open_to_all: None,
            stuck: None,
            accepted: 0,
            views: Vec::with_capacity(load.lines()),
            wakes: 0,
        };
        let (epoll, command, asleep) = (Epoll::new()?, event()?, AtomicBool::new(false));
        epoll.add(command.as_fd(), COMMAND)?;
        epoll.add(bell.as_fd(), BELL)?;
        let shared = Arc::new(Shared { epoll, bell, command, load, line, asleep, queue: Mutex::new(queue) });
        let (ended, end) = oneshot::channel();
        let thread = shared.clone();
        std::thread::Builder::new().name("acceptor".into()).stack_size(128 * 1024).spawn(move || {
            thread.run();
            let _ = ended.send(());
        })?;
        Ok((Acceptor(shared), end))
    }

    /// Ready when a connection can be accepted at this door. Enters its queue, if the gate allows it, and stays there
    /// until then or until [`withdraw`](Self::withdraw). Pending for ever once the acceptor was closed.
    pub(super) fn poll_offer(&self, door: usize, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.0.lock();
        let queue = &mut *queue;
        let Some(entry) = queue.doors.get_mut(door) else { return Poll::Pending };
        if let DoorState::Offered(_) = entry.state {
            entry.state = DoorState::Unasked;
            self.0.answered(queue);
            return Poll::Ready(());
        }
        if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            entry.waker = Some(cx.waker().clone());
        }
        if entry.state == DoorState::Unasked && !queue.closed {
            self.0.ask(queue, door);
        }
        Poll::Pending
    }

    /// Leaves the queue of this door. Whoever was offered a connection and goes without it passes it on.
    pub(super) fn withdraw(&self, door: usize) {
        let mut queue = self.0.lock();
        let offered = self.0.unask(&mut queue, door);
        self.0.answered(&mut queue);
        if offered {
            self.0.ring_all(WAITS);
        }
    }

    /// The connection that was offered could not be accepted for want of means: others shall look for it.
    pub(super) fn pass_on(&self) {
        self.0.ring_all(WAITS);
    }

    /// A connection of this process has ended.
    pub(super) fn left_one(&self) {
        if self.0.asleep.load(Relaxed) {
            let mut queue = self.0.lock();
            self.0.reconsider(&mut queue);
        }
    }

    /// Leaves all queues for good.
    pub(super) fn close(&self) {
        self.0.line.end_serving();
        let mut queue = self.0.lock();
        queue.closed = true;
        for door in 0..queue.doors.len() {
            self.0.unask(&mut queue, door);
        }
        drop(queue);
        self.0.ring_all(WAITS);
        event_add(self.0.command.as_fd(), 1);
    }

    #[cfg(test)]
    pub(super) fn wakes(&self) -> u64 {
        self.0.lock().wakes
    }

    /// Whether it waits for connections, or would if the gate was open.
    #[cfg(test)]
    pub(super) fn is_placed(&self) -> bool {
        let placed = |door: &Door| matches!(door.state, DoorState::Queued | DoorState::Asleep);
        self.0.lock().doors.iter().all(placed)
    }

    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.0.asleep.load(Relaxed)
    }
}

/// The thread.
impl Shared {
    fn run(&self) {
        loop {
            let patience = self.patience();
            let tokens = match self.epoll.wait(patience) {
                Ok(tokens) => tokens,
                Err(error) => {
                    tracing::error!(%error, "the acceptor cannot wait for connections");
                    std::thread::sleep(LOOK_AROUND);
                    continue;
                }
            };
            let mut idle = true;
            for token in tokens {
                idle = false;
                match token {
                    BELL => self.rung(event_take(self.bell.as_fd())),
                    COMMAND => drop(event_take(self.command.as_fd())),
                    door => self.offer(door),
                }
            }
            if idle {
                self.timer();
            }
            if self.lock().closed {
                let _ = self.epoll.delete(self.bell.as_fd());
                return;
            }
        }
    }

    /// How long to wait for events: as short as the nearest of the timers, without an end if there is none.
    fn patience(&self) -> Option<Duration> {
        let mut queue = self.lock();
        queue.wakes += 1;
        let offered = queue.doors.iter().any(|door| matches!(door.state, DoorState::Offered(Some(_))));
        let asleep = queue.doors.iter().any(|door| door.state == DoorState::Asleep);
        let patience = match (offered, asleep) {
            (true, _) => Some(ANSWER),
            (false, true) if queue.stuck.is_some() => Some(STUCK),
            (false, true) => Some(LOOK_AROUND),
            (false, false) => None,
        };
        queue.endless = patience.is_none();
        patience
    }

    /// A connection waits at this door: leaves the queue and lets the runtime know.
    fn offer(&self, door: u64) {
        let mut queue = self.lock();
        let Some(entry) = usize::try_from(door).ok().and_then(|door| queue.doors.get_mut(door)) else { return };
        // The runtime may have left the queue after the event came; then it has rung, if somebody has to know.
        if entry.state != DoorState::Queued {
            return;
        }
        let _ = self.epoll.delete(entry.file.as_fd());
        entry.state = DoorState::Offered(Some(Instant::now()));
        let waker = entry.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn timer(&self) {
        let mut queue = self.lock();
        self.give_up_on_runtime(&mut queue);
        if self.asleep.load(Relaxed) {
            self.reconsider(&mut queue);
            self.look_around(&mut queue);
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
    fn rung(&self, value: u64) {
        let (waits, hops) = (value >= WAITS, value & (WAITS - 1));
        if hops == 0 {
            return;
        }
        let mut queue = self.lock();
        let was_asleep = self.asleep.load(Relaxed);
        let may_enter = !queue.closed && !queue.late && (was_asleep || waits) && self.verdict(&mut queue).enter;
        let entered = may_enter && self.enter_again(&mut queue);
        drop(queue);
        if !entered && hops > 1 {
            // To the end of the bell's queue, so that the next one hears it.
            let _ = self.epoll.delete(self.bell.as_fd());
            let _ = self.epoll.add(self.bell.as_fd(), BELL);
            event_add(self.bell.as_fd(), (hops - 1) | if waits { WAITS } else { 0 });
        }
    }
}

/// Moves in the queues, made under the lock.
impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under the lock can leave it half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants a connection from this door: into the queue, or to sleep.
    fn ask(&self, queue: &mut Queue, door: usize) {
        let verdict = self.verdict(queue);
        if verdict.enter {
            self.enter(queue, door);
        } else {
            queue.doors[door].state = DoorState::Asleep;
            self.set_asleep(true);
            if queue.endless {
                queue.endless = false;
                event_add(self.command.as_fd(), 1);
            }
        }
        if verdict.ring {
            self.ring_all(0);
        }
    }

    fn enter(&self, queue: &mut Queue, door: usize) {
        let entry = &mut queue.doors[door];
        entry.state = DoorState::Queued;
        if let Err(error) = self.epoll.add(entry.file.as_fd(), door as u64) {
            tracing::error!(%error, "cannot wait for connections");
            entry.state = DoorState::Unasked;
        }
    }

    /// Nobody wants a connection from this door any more; whether one had been offered.
    fn unask(&self, queue: &mut Queue, door: usize) -> bool {
        let Some(entry) = queue.doors.get_mut(door) else { return false };
        let state = std::mem::replace(&mut entry.state, DoorState::Unasked);
        if state == DoorState::Queued {
            let _ = self.epoll.delete(entry.file.as_fd());
        }
        self.update_asleep(queue);
        matches!(state, DoorState::Offered(_))
    }

    /// Leaves every queue, to come back when the runtime has answered.
    fn sleep(&self, queue: &mut Queue) {
        for door in queue.doors.iter_mut().filter(|door| door.state == DoorState::Queued) {
            let _ = self.epoll.delete(door.file.as_fd());
            door.state = DoorState::Asleep;
        }
        self.update_asleep(queue);
    }

    /// The runtime lives.
    fn answered(&self, queue: &mut Queue) {
        if queue.late && !queue.doors.iter().any(|door| door.state == DoorState::Offered(None)) {
            queue.late = false;
            self.line.set_late(false);
            self.reconsider(queue);
        }
    }

    /// Lets sleepers in if the gate has opened.
    fn reconsider(&self, queue: &mut Queue) {
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
    fn enter_again(&self, queue: &mut Queue) -> bool {
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

    fn update_asleep(&self, queue: &Queue) {
        self.set_asleep(queue.doors.iter().any(|door| door.state == DoorState::Asleep));
    }

    fn set_asleep(&self, asleep: bool) {
        if self.asleep.swap(asleep, Relaxed) != asleep {
            self.line.set_asleep(asleep);
        }
    }

    fn verdict(&self, queue: &mut Queue) -> Verdict {
        if queue.open_to_all.is_some_and(|until| Instant::now() < until) {
            return Verdict { enter: true, ring: false };
        }
        queue.open_to_all = None;
        self.load.look(monotonic_ms(), &mut queue.views);
        gate::decide(&queue.views, self.line.index())
    }

    /// Rings so that every other process can be asked once.
    fn ring_all(&self, what: u64) {
        let others = self.load.serving_beside(self.line.index());
        if others > 0 {
            event_add(self.bell.as_fd(), what | others);
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("line", &self.0.line.index()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "acceptor_tests.rs"]
mod tests;
