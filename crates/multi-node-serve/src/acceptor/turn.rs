//! How the runtime takes connections.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::task::{Context, Poll};

use multi_node_sys::epoll::event_tell;
use tokio::sync::oneshot;

use super::event_loop::EventLoop;
use super::queue::{ListenerState, Shared};
use crate::load::{Line, LoadTable};

/// At most this number of connections is taken in a row; then the runtime runs the tasks of the taken ones.
const AT_ONCE: u32 = 16;

/// One process's place in the queues of the listening sockets; clones are the same place.
#[derive(Clone)]
pub(crate) struct Acceptor(Arc<Shared>);

/// The right to take connections from one listener; clones would disturb each other.
pub(crate) struct Turn {
    acceptor: Acceptor,
    listener: usize,
    /// The number of connections that may be taken at once before the next has to be offered.
    unasked: u32,
    /// It was tried whether the runtime can wait itself.
    tried_runtime: bool,
}

impl Acceptor {
    /// Starts the thread. The receiver resolves when it has ended.
    pub(crate) fn start(
        load: LoadTable,
        line: Line,
        wake_fd: OwnedFd,
        files: Vec<OwnedFd>,
    ) -> io::Result<(Acceptor, oneshot::Receiver<()>)> {
        let shared = Arc::new(Shared::new(load, line, wake_fd, files)?);
        let (ended, end) = oneshot::channel();
        let thread = shared.clone();
        std::thread::Builder::new().name("acceptor".into()).stack_size(128 * 1024).spawn(move || {
            thread.run();
            let _ = ended.send(());
        })?;
        Ok((Acceptor(shared), end))
    }

    /// The right to take connections from this listener.
    pub(crate) fn turn(&self, listener: usize) -> Turn {
        Turn { acceptor: self.clone(), listener, unasked: 0, tried_runtime: false }
    }

    /// A connection of this process has ended.
    pub(crate) fn left_one(&self) {
        // Between the count of open connections and the question who sleeps; its counterpart is in `ask`.
        fence(SeqCst);
        if self.0.asleep.load(Relaxed) {
            let mut queue = self.0.lock();
            self.0.reconsider(&mut queue);
        }
    }

    /// Leaves all queues for good.
    pub(crate) fn close(&self) {
        self.0.line.end_serving();
        let mut queue = self.0.lock();
        queue.closed = true;
        for listener in 0..queue.listeners.len() {
            self.0.unask(&mut queue, listener);
        }
        drop(queue);
        self.0.alarm();
        event_tell(self.0.command.as_fd());
    }

    /// Takes no connection from now on, until it is resumed; one that was offered already is taken still.
    pub(crate) fn pause(&self) {
        self.0.line.set_paused(true);
        let mut queue = self.0.lock();
        self.0.sleep(&mut queue);
        drop(queue);
        self.0.alarm();
    }

    /// Takes connections as any other.
    pub(crate) fn resume(&self) {
        self.0.line.set_on_trial(false);
        self.open();
    }

    /// Takes connections, as any other or on trial.
    pub(crate) fn open(&self) {
        self.0.line.set_paused(false);
        let mut queue = self.0.lock();
        self.0.reconsider(&mut queue);
    }

    /// Checks whether a connection waits for a process that was woken for it and stopped since; due twice a second.
    pub(crate) fn look_again(&self) {
        self.0.look_again();
    }

    #[cfg(test)]
    pub(crate) fn wakes(&self) -> u64 {
        self.0.lock().wakes
    }

    /// How often its runtime, or the fleet as it saw it, was so late that others took over.
    #[cfg(test)]
    pub(crate) fn disturbances(&self) -> u64 {
        self.0.lock().disturbances
    }

    /// Whether it waits for connections, or would if the gate was open.
    #[cfg(test)]
    pub(crate) fn is_placed(&self) -> bool {
        let placed = |listener: &super::queue::Listening| {
            matches!(listener.state, ListenerState::Queued | ListenerState::Asleep)
        };
        self.0.lock().listeners.iter().all(placed)
    }

    #[cfg(test)]
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.asleep.load(Relaxed)
    }
}

impl Turn {
    /// Takes a connection by `accept`, when one is offered, or at once where it is likely that another waits.
    ///
    /// While this is pending the process stands in the queue or sleeps; [`withdraw`](Self::withdraw) ends that. Pending
    /// for ever once the acceptor was closed.
    pub(crate) fn poll_take<T>(
        &mut self,
        cx: &mut Context<'_>,
        accept: impl FnOnce() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_event_loop(cx);
        let unasked = self.unasked > 0 && self.acceptor.0.may_take(self.listener);
        if !unasked && self.poll_offer(cx).is_pending() {
            return Poll::Pending;
        }
        let taken = accept();
        // Where one connection waited another may wait as well, and to go by the thread for each of them is dear. To look for
        // them more than once, between other work, was measured and costs more than it spares.
        self.unasked = match (&taken, unasked) {
            (Ok(_), true) => self.unasked - 1,
            (Ok(_), false) => AT_ONCE,
            (Err(_), _) => 0,
        };
        Poll::Ready(taken)
    }

    /// Ready when a connection is offered.
    fn poll_offer(&self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.acceptor.0;
        let mut queue = shared.lock();
        let queue = &mut *queue;
        let Some(entry) = queue.listeners.get_mut(self.listener) else { return Poll::Pending };
        if let ListenerState::Offered(_) = entry.state {
            entry.state = ListenerState::Unasked;
            shared.answered(queue);
            return Poll::Ready(());
        }
        if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            entry.waker = Some(cx.waker().clone());
        }
        if entry.state == ListenerState::Unasked && !queue.closed {
            shared.ask(queue, self.listener);
        }
        Poll::Pending
    }

    /// Lets an event loop wait at this listener in place of the thread. The loop itself is woken, and its epoll instance has
    /// the socket under this token. This cannot be changed later.
    pub(crate) fn wait_in(&self, epoll: OwnedFd, token: u64) {
        self.wait_by(EventLoop::other(epoll, token));
    }

    /// Lets the runtime wait at this listener in place of the thread, where this is called in one of one thread that can be
    /// found. Does this once.
    pub(crate) fn wait_in_runtime(&mut self) {
        if !std::mem::replace(&mut self.tried_runtime, true)
            && let Some(runtime) = EventLoop::of_runtime()
        {
            self.wait_by(runtime);
        }
    }

    fn wait_by(&self, event_loop: EventLoop) {
        self.move_queue(|shared| {
            if let Some(waiting) = shared.loops.get(self.listener) {
                let _ = waiting.set(event_loop);
            }
        });
    }

    /// Changes who waits in the queue, while this process is not in it.
    fn move_queue(&self, change: impl FnOnce(&Shared)) {
        let shared = &self.acceptor.0;
        let mut queue = shared.lock();
        let queued = queue.listeners.get(self.listener).is_some_and(|listener| listener.state == ListenerState::Queued);
        if queued {
            shared.unask(&mut queue, self.listener);
        }
        change(shared);
        if queued {
            shared.ask(&mut queue, self.listener);
        }
    }

    /// Offers the connection for which the runtime was woken.
    fn poll_event_loop(&self, cx: &mut Context<'_>) {
        let Some(event_loop) = self.acceptor.0.event_loop(self.listener) else { return };
        let mut woken = false;
        while let Poll::Ready(ready) = event_loop.poll_woken(cx) {
            if ready.is_err() {
                return self.move_queue(|_| event_loop.end());
            }
            woken = true;
        }
        if woken {
            self.offer();
        }
    }

    /// The [event loop](Self::wait_in) was woken: a connection is offered, unless another process was faster.
    pub(crate) fn woken(&self) {
        // Where there are several sockets, it may have been for another.
        if self.acceptor.0.files.len() == 1 || self.acceptor.0.waits(self.listener) {
            self.offer();
        }
    }

    #[cfg(test)]
    pub(crate) fn waits_in_loop(&self) -> bool {
        self.acceptor.0.event_loop(self.listener).is_some()
    }

    fn offer(&self) {
        let shared = &self.acceptor.0;
        let _ = shared.offer(&mut shared.lock(), self.listener as u64);
    }

    /// Leaves the queue. A process that was offered a connection and does not take it passes the offer on.
    pub(crate) fn withdraw(&self) {
        let shared = &self.acceptor.0;
        let mut queue = shared.lock();
        let before = shared.unask(&mut queue, self.listener);
        shared.answered(&mut queue);
        let passes_on = match before {
            ListenerState::Offered(_) => true,
            // An event loop may have been woken and not have come to this yet.
            ListenerState::Queued => shared.event_loop(self.listener).is_some() && shared.waits(self.listener),
            ListenerState::Unasked | ListenerState::Asleep => false,
        };
        if passes_on {
            self.pass_on();
        }
    }

    /// The connection that was offered could not be accepted for want of means: others shall look for it.
    pub(crate) fn pass_on(&self) {
        self.acceptor.0.alarm();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("line", &self.0.line.index()).finish_non_exhaustive()
    }
}
