//! The state that the acceptor's thread and the runtime share, and the moves into and out of the sockets' queues.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use multi_node_sys::epoll::{Epoll, event, event_tell, is_readable, monotonic_ms};

use super::event_loop::EventLoop;
use crate::gate::{self, PassedOver, Verdict, View};
use crate::load::{Line, LoadTable};

/// In this time a runtime has to pick up a connection that it was offered. Longer than the kernel's tick (4 ms where there are 250
/// a second): a timer that is due before it is written into the processor's own, which costs more than the wake-up itself.
pub(super) const ANSWER: Duration = Duration::from_millis(5);
/// So often a process that was refused looks whether everybody else is stuck.
pub(super) const LOOK_AROUND: Duration = Duration::from_millis(250);
/// If no process has accepted a connection that has waited this long, the first process that sees it takes it. On a busy
/// machine the kernel may not run any of the processes for some time slices.
pub(super) const STUCK: Duration = Duration::from_millis(50);

/// Tokens of the epoll instance; all others are numbers of doors.
pub(super) const WAKE: u64 = u64::MAX;
pub(super) const COMMAND: u64 = u64::MAX - 1;
/// Makes the wake-up that all processes share.
pub fn wake_fd() -> io::Result<OwnedFd> {
    event()
}

/// Makes all look for a connection that waits, since a process that was to take it is gone.
pub fn wake(load: &LoadTable, wake_fd: BorrowedFd<'_>) {
    load.alarm();
    event_tell(wake_fd);
}

/// One process's part: what it waits with, and where it stands.
pub(super) struct Shared {
    pub(super) epoll: Epoll,
    pub(super) wake_fd: OwnedFd,
    pub(super) command: OwnedFd,
    pub(super) load: LoadTable,
    pub(super) line: Line,
    /// The listening sockets, by the numbers of their doors.
    pub(super) files: Vec<OwnedFd>,
    /// The event loops that wait at their doors themselves, by the numbers of these.
    pub(super) loops: Vec<OnceLock<EventLoop>>,
    /// Some listener is asleep. A copy, so that others need not take the lock to find that none is.
    pub(super) asleep: AtomicBool,
    queue: Mutex<Queue>,
}

/// What the thread and the runtime share, for a moment at a time.
pub(super) struct Queue {
    pub(super) listeners: Vec<Listening>,
    /// Listeners whose queues are entered as soon as the lock is free.
    entering: Vec<usize>,
    pub(super) closed: bool,
    pub(super) late: bool,
    /// The thread waits without a timeout: wake it when something needs a timer.
    endless: bool,
    /// What the whole fleet had accepted when a connection was first seen waiting.
    pub(super) stuck: Option<u64>,
    /// The thread watches for the next connection at the listeners of event loops, or has seen one and checks on it when its
    /// time has run out.
    pub(super) watching: bool,
    pub(super) passed_over: PassedOver,
    /// The last alarm that this process knows of.
    pub(super) alarms: u64,
    pub(super) views: Vec<View>,
    /// How often the thread woke, and how often a runtime did not answer in time, for tests.
    pub(super) wakes: u64,
    pub(super) disturbances: u64,
}

/// Where this process stands with one listening socket.
pub(super) struct Listening {
    pub(super) state: ListenerState,
    pub(super) waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// Nothing asks for a connection.
    Unasked,
    /// In the socket's queue.
    Queued,
    /// Asked for, but the gate is closed.
    Asleep,
    /// A connection was offered to the runtime; the instant is gone once it was late.
    Offered(Option<Instant>),
}

impl Shared {
    pub(super) fn new(load: LoadTable, line: Line, wake_fd: OwnedFd, files: Vec<OwnedFd>) -> io::Result<Shared> {
        let queue = Queue {
            listeners: files.iter().map(|_| Listening { state: ListenerState::Unasked, waker: None }).collect(),
            entering: Vec::new(),
            closed: false,
            late: false,
            endless: true,
            stuck: None,
            watching: false,
            passed_over: PassedOver::default(),
            alarms: load.alarms(),
            views: Vec::with_capacity(load.lines()),
            wakes: 0,
            disturbances: 0,
        };
        let (epoll, command, asleep) = (Epoll::new()?, event()?, AtomicBool::new(false));
        epoll.watch(command.as_fd(), COMMAND)?;
        epoll.watch(wake_fd.as_fd(), WAKE)?;
        let loops = files.iter().map(|_| OnceLock::new()).collect();
        Ok(Shared { epoll, wake_fd, command, load, line, files, loops, asleep, queue: Mutex::new(queue) })
    }

    pub(super) fn lock(&self) -> Held<'_> {
        // Nothing that is done under the lock can leave it half done.
        Held { shared: self, queue: Some(self.queue.lock().unwrap_or_else(PoisonError::into_inner)) }
    }
}

/// What is queued leaves before the marks of event loops are dropped.
impl Drop for Shared {
    fn drop(&mut self) {
        (0..self.files.len()).for_each(|listener| self.leave(listener));
    }
}

/// The queue under its lock.
///
/// Entering a socket's queue wakes the thread if a connection waits there, and the thread first takes the lock. So entering
/// is done once the lock is free. A process that leaves the queue in between is entered all the same; see [`Shared::offer`].
pub(super) struct Held<'a> {
    shared: &'a Shared,
    queue: Option<MutexGuard<'a, Queue>>,
}

impl Deref for Held<'_> {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        self.queue.as_ref().expect("it is given up only in `drop`")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Queue {
        self.queue.as_mut().expect("it is given up only in `drop`")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut entering = std::mem::take(&mut self.entering);
        self.queue = None;
        for listener in entering.drain(..) {
            if let Err(error) = self.shared.come(listener) {
                multi_node_sys::log::error!(%error, "cannot wait for connections; trying again");
                self.shared.try_later(listener);
            }
        }
    }
}

impl Queue {
    /// How long the thread waits for events: until the nearest timer, or without a timeout if there is none.
    ///
    /// After a wake-up with a cause it waits with a timeout. A process that falls asleep soon after needs a timer, and waking
    /// the thread for that would cost more.
    pub(super) fn idle_timeout(&mut self, caused: bool) -> Option<Duration> {
        let offered = self.listeners.iter().any(|listener| matches!(listener.state, ListenerState::Offered(Some(_))));
        let asleep = self.listeners.iter().any(|listener| listener.state == ListenerState::Asleep);
        let idle_timeout = match (offered, asleep || caused) {
            (true, _) => Some(ANSWER),
            (false, true) if self.stuck.is_some() => Some(STUCK),
            (false, true) => Some(LOOK_AROUND),
            (false, false) => None,
        };
        self.endless = idle_timeout.is_none();
        idle_timeout
    }

    /// From now on a task or loop is queued at this listener, or waits there for the gate to open.
    fn enter(&mut self, listener: usize) {
        self.listeners[listener].state = ListenerState::Queued;
        self.entering.push(listener);
    }
}

/// Moves in the queues, made under the lock.
impl Shared {
    /// Whether a connection may be taken from this listener without an offer.
    pub(super) fn may_take(&self, listener: usize) -> bool {
        let mut queue = self.lock();
        let unasked = queue.listeners.get(listener).is_some_and(|listener| listener.state == ListenerState::Unasked);
        unasked && !queue.closed && self.verdict(&mut queue).enter
    }

    /// A task or loop wants a connection from this listener: enters the queue, or sleeps.
    pub(super) fn ask(&self, queue: &mut Queue, listener: usize) {
        let mut verdict = self.verdict(queue);
        if !verdict.enter {
            // A connection that ended on another thread after that verdict has found no sleeper, so look once more.
            queue.listeners[listener].state = ListenerState::Asleep;
            queue.stuck = None;
            self.set_asleep(true);
            fence(SeqCst);
            verdict = self.verdict(queue);
        }
        if verdict.enter {
            queue.enter(listener);
            self.update_asleep(queue);
        } else {
            self.watch(queue);
            if queue.endless {
                queue.endless = false;
                event_tell(self.command.as_fd());
            }
        }
        if verdict.wake {
            self.wake();
        }
    }

    /// An event loop that is too busy to accept has no thread to report that. So the sleeping processes watch it.
    pub(super) fn watch(&self, queue: &mut Queue) {
        if queue.watching {
            return;
        }
        for (listener, file) in self.files.iter().enumerate() {
            if self.event_loop(listener).is_some() && queue.listeners[listener].state == ListenerState::Asleep {
                // Without it the timer comes later.
                queue.watching |= self.epoll.watch_once(file.as_fd(), listener as u64).is_ok();
            }
        }
    }

    /// Nothing wants a connection from this listener any more. Returns how it was until now.
    pub(super) fn unask(&self, queue: &mut Queue, listener: usize) -> ListenerState {
        let Some(entry) = queue.listeners.get_mut(listener) else { return ListenerState::Unasked };
        let state = std::mem::replace(&mut entry.state, ListenerState::Unasked);
        if state == ListenerState::Queued {
            self.leave(listener);
        }
        self.update_asleep(queue);
        state
    }

    /// The queue could not be entered: the timer of sleeping processes will try again.
    fn try_later(&self, listener: usize) {
        let mut queue = self.lock();
        if queue.listeners[listener].state == ListenerState::Queued {
            queue.listeners[listener].state = ListenerState::Asleep;
            self.set_asleep(true);
            event_tell(self.command.as_fd());
        }
    }

    /// Leaves every queue, to come back when the runtime has answered.
    pub(super) fn sleep(&self, queue: &mut Queue) {
        for (listener, entry) in
            queue.listeners.iter_mut().enumerate().filter(|(_, listener)| listener.state == ListenerState::Queued)
        {
            self.leave(listener);
            entry.state = ListenerState::Asleep;
        }
        self.update_asleep(queue);
    }

    /// The runtime lives.
    pub(super) fn answered(&self, queue: &mut Queue) {
        if queue.late && !queue.listeners.iter().any(|listener| listener.state == ListenerState::Offered(None)) {
            queue.late = false;
            self.line.set_late(false);
            self.reconsider(queue);
        }
    }

    /// Lets sleepers in if the gate has opened.
    pub(super) fn reconsider(&self, queue: &mut Queue) {
        let asleep = |listener: &Listening| listener.state == ListenerState::Asleep;
        if !queue.late && queue.listeners.iter().any(asleep) && self.verdict(queue).enter {
            for listener in 0..queue.listeners.len() {
                if asleep(&queue.listeners[listener]) {
                    queue.enter(listener);
                }
            }
            queue.stuck = None;
        }
        self.update_asleep(queue);
    }

    /// For the case that all processes are in the queue and none has a timer: the process that was woken may have been
    /// stopped just then.
    pub(super) fn look_again(&self) {
        let mut queue = self.lock();
        if !queue.closed && !queue.late {
            self.enter_again(&mut queue);
        }
    }

    /// Enters each queue again where this process is queued and a connection waits. The process that was woken for that
    /// connection has not taken it, and the kernel wakes no other process.
    pub(super) fn enter_again(&self, queue: &mut Queue) {
        for listener in 0..queue.listeners.len() {
            if queue.listeners[listener].state == ListenerState::Queued && self.waits(listener) {
                self.leave(listener);
                queue.enter(listener);
            }
        }
    }

    /// The event loop that waits at this listener itself, if one does.
    pub(super) fn event_loop(&self, listener: usize) -> Option<&EventLoop> {
        self.loops.get(listener)?.get().filter(|event_loop| !event_loop.is_over())
    }

    /// Whether a connection waits at this listener.
    pub(super) fn waits(&self, listener: usize) -> bool {
        self.files.get(listener).is_some_and(|file| is_readable(file.as_fd()))
    }

    /// Into the socket's queue, at its end.
    fn come(&self, listener: usize) -> io::Result<()> {
        let file = self.files[listener].as_fd();
        match self.event_loop(listener) {
            Some(event_loop) => event_loop.enter(file),
            None => self.epoll.queue(file, listener as u64),
        }
    }

    /// Out of the socket's queue.
    pub(super) fn leave(&self, listener: usize) {
        let Some(file) = self.files.get(listener) else { return };
        match self.event_loop(listener) {
            Some(event_loop) => event_loop.leave(file.as_fd()),
            None => drop(self.epoll.delete(file.as_fd())),
        }
    }

    pub(super) fn update_asleep(&self, queue: &Queue) {
        self.set_asleep(queue.listeners.iter().any(|listener| listener.state == ListenerState::Asleep));
    }

    fn set_asleep(&self, asleep: bool) {
        if self.asleep.swap(asleep, Relaxed) != asleep {
            self.line.set_asleep(asleep);
        }
    }

    fn verdict(&self, queue: &mut Queue) -> Verdict {
        self.look(queue);
        queue.passed_over.mark(&mut queue.views, self.line.index());
        let verdict = gate::decide(&queue.views, self.line.index());
        if verdict.level {
            self.load.forget_recent();
        }
        verdict
    }

    /// Reads all lines.
    pub(super) fn look(&self, queue: &mut Queue) {
        self.load.look(monotonic_ms(), &mut queue.views);
    }

    /// Makes sleepers look whether the gate has opened for them.
    fn wake(&self) {
        if self.load.serves_beside(self.line.index()) {
            event_tell(self.wake_fd.as_fd());
        }
    }

    /// Makes all look for a connection that waits and that this process does not take.
    pub(super) fn alarm(&self) {
        self.load.alarm();
        self.wake();
    }
}
