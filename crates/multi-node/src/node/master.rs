//! The process of the master. Its end is seen also where the control socket does not show it: between two programs of an
//! upgrade no process may hold the other end, or the next program may never take it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::serve::Socket;
use crate::sys;
use crate::sys::runtime::watched;

/// How often it is looked whether connections wait.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How many looks in a row find nothing before the sockets are closed: a handshake may be under way.
const EMPTY_LOOKS: u32 = 2;

/// How long connections that wait may keep the address from the next start.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// The process that made the control socket, if it can be seen from here.
#[derive(Debug)]
pub(super) struct Master(Option<AsyncFd<OwnedFd>>);

impl Master {
    pub(super) fn of(control: &UnixStream) -> Master {
        let process = sys::socket::maker(control.as_fd()).and_then(sys::process::open).and_then(watched);
        Master(process.inspect_err(|error| crate::log::debug!(%error, "cannot see the master's process")).ok())
    }

    /// The same process, for a thread.
    pub(super) fn process(&self) -> Option<OwnedFd> {
        self.0.as_ref()?.get_ref().try_clone().ok()
    }

    /// Resolves when it has ended; an exec is no end. Never where it cannot be seen. Cancel-safe.
    pub(super) async fn ended(&self) {
        let Some(process) = &self.0 else { return std::future::pending().await };
        while let Ok(mut ready) = process.readable().await {
            if sys::process::has_ended(process.as_fd()).unwrap_or(false) {
                return;
            }
            ready.clear_ready();
        }
        std::future::pending::<()>().await;
    }
}

/// Closes the listening sockets, in all processes that have them, so that the next start can bind their addresses (a listener
/// that was shut down does not keep them, where `SO_REUSEADDR` is set, as it is on ours). New clients are refused at once, and
/// those that wait are taken before by the servers, which drain.
pub(super) async fn close(sockets: Vec<Socket>) {
    for socket in &sockets {
        if let Socket::Tcp(listener) = socket {
            let _ = sys::epoll::make_unreachable(listener).inspect_err(cannot_close);
        }
    }
    let (deadline, mut empty) = (Instant::now() + TAKEN_WITHIN, 0);
    while empty < EMPTY_LOOKS && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
        let waits = sockets.iter().any(|socket| sys::epoll::is_readable(socket.as_fd()));
        empty = if waits { 0 } else { empty + 1 };
    }
    for socket in &sockets {
        let _ = sys::epoll::stop_listening(socket).inspect_err(cannot_close);
    }
}

/// Another node may have been first.
fn cannot_close(error: &io::Error) {
    crate::log::debug!(%error, "cannot close a listening socket");
}
