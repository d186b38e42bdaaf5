//! Event loops that wait in the queue of a listening socket themselves, in place of the thread.
//!
//! The Node.js package gives its loop's epoll instance and a token. A tokio runtime gives neither, and adds no file with
//! `EPOLLEXCLUSIVE`. So an eventfd that is never written to is registered with the runtime, the mark. `/proc` shows which
//! instance watches the mark, and by which token. The socket enters the queue from that instance under that token: to tokio its
//! events are the mark's. Where `/proc` does not show it, the thread waits.
//!
//! For a runtime of several threads the thread waits too. While the worker computes that waited with the epoll instance last, the
//! others sleep elsewhere: nothing that happens there wakes them, but the thread does.
//!
//! The token belongs to tokio, which keeps what it stands for while the mark is registered, and until its driver has dealt with
//! the events that it has taken before. So the socket has to leave the instance before the mark is dropped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use multi_node_sys::epoll::{Epoll, event};
use multi_node_sys::runtime::{has_one_thread, watched, watcher};
use tokio::io::unix::AsyncFd;

/// An event loop that waits for connections with the epoll instance with which it waits for all else.
pub(super) struct EventLoop {
    epoll: Epoll,
    /// By which it knows the socket.
    token: u64,
    mark: Option<AsyncFd<OwnedFd>>,
    /// The runtime has ended.
    over: AtomicBool,
}

impl EventLoop {
    /// A loop that says itself that it was woken.
    pub(super) fn other(epoll: OwnedFd, token: u64) -> EventLoop {
        EventLoop { epoll: epoll.into(), token, mark: None, over: AtomicBool::new(false) }
    }

    /// That of the runtime that this is called in, if it has one thread and can be found.
    pub(super) fn of_runtime() -> Option<EventLoop> {
        if !has_one_thread() {
            return None;
        }
        let mark = watched(event().ok()?).ok()?;
        let (epoll, token) = watcher(mark.as_fd()).ok()??;
        Some(EventLoop { epoll, token, mark: Some(mark), over: AtomicBool::new(false) })
    }

    /// Whether the runtime was woken for a connection since this was last called; else the task is woken when it is. An error:
    /// the runtime has ended.
    pub(super) fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mark) = &self.mark else { return Poll::Pending };
        mark.poll_read_ready(cx).map_ok(|mut woken| woken.clear_ready())
    }

    /// Into the file's queue, at its end.
    pub(super) fn enter(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.queue(file, self.token)
    }

    /// Out of the file's queue.
    pub(super) fn leave(&self, file: BorrowedFd<'_>) {
        let _ = self.epoll.delete(file);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// It waits for nothing any more: the thread waits again.
    pub(super) fn end(&self) {
        self.over.store(true, Relaxed);
    }
}
