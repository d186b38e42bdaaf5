//! The queues of the listening sockets in a shutdown: who waits there is served first.

use std::os::fd::AsFd;
use std::time::Duration;

use tokio::time::Instant;

use super::PrimaryEnding;
use crate::serve::Socket;
use crate::supervisor::cannot_close;
use crate::{bind, sys};

/// How often the queues are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long nothing must have waited: a handshake that had begun when the sockets were closed to new clients has to end.
const QUIET: Duration = Duration::from_millis(100);

/// What waits in the sockets, and with the primary of Node.js programs.
pub(super) struct Queues {
    sockets: Vec<Socket>,
    primary: Option<PrimaryEnding>,
}

impl Queues {
    /// Refuses new clients.
    pub(super) async fn close(mut sockets: Vec<Socket>, primary: Option<PrimaryEnding>) -> Queues {
        if let Some(primary) = &primary {
            sockets.extend(primary.sockets().await);
        }
        for socket in &sockets {
            let _ = bind::refuse(socket).await.inspect_err(cannot_close);
        }
        Queues { sockets, primary }
    }

    /// Waits until nothing waits any more; false: the deadline came first.
    pub(super) async fn are_served(&self, deadline: Instant) -> bool {
        let mut lull = Lull::default();
        while !lull.lasts(Instant::now(), self.are_empty().await) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    async fn are_empty(&self) -> bool {
        if self.sockets.iter().any(|socket| sys::epoll::is_readable(socket.as_fd())) {
            return false;
        }
        match &self.primary {
            Some(primary) => !primary.has_waiting().await,
            None => true,
        }
    }
}

/// Since when nothing waits. Pure.
#[derive(Debug, Default)]
struct Lull(Option<Instant>);

impl Lull {
    /// Takes in whether nothing waits now; whether that has lasted.
    fn lasts(&mut self, now: Instant, empty: bool) -> bool {
        let since = empty.then(|| self.0.unwrap_or(now));
        self.0 = since;
        since.is_some_and(|since| now.saturating_duration_since(since) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_served_when_nothing_has_waited_for_a_while() {
        let (mut lull, start) = (Lull::default(), Instant::now());
        let looks = [(0, true), (50, true), (90, false), (99, true), (198, true), (199, true), (300, true)];
        let lasts = looks.map(|(millis, empty)| lull.lasts(start + Duration::from_millis(millis), empty));
        assert_eq!(lasts, [false, false, false, false, false, true, true], "counted from 99 ms on");
    }
}
