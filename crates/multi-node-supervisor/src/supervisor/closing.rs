//! Closes the listening sockets: new clients are refused, and waiting connections are served.
//!
//! Nodes that link this crate accept waiting connections while they drain. Other programs do not, once they are asked to end.
//! So the master asks them only when no connection waits any more.

use std::os::fd::AsFd;
use std::time::Duration;

use tokio::time::Instant;

use super::foreign::{Foreign, PrimaryEnding};
use super::members::Members;
use super::watch::NodeEvent;
use crate::id::NodeId;
use crate::serve::Socket;
use crate::{bind, sys};

/// How often the queues are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long nothing must have waited: a handshake that had begun when the sockets were closed to new clients has to end.
const QUIET: Duration = Duration::from_millis(100);

/// The end of the sockets, once it has begun.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// Nodes that continue to serve until no connection waits.
    waiting: Vec<NodeId>,
    /// Until when they do at most.
    deadline: Option<Instant>,
}

impl Closing {
    /// Lets a node serve until no connection waits, but for at most half of its drain time.
    pub(super) fn wait(&mut self, id: NodeId, drain: Duration) {
        self.waiting.push(id);
        self.deadline.get_or_insert(Instant::now() + drain / 2);
    }
}

impl Members {
    /// Refuses new clients from now on, and gets an event when no connection waits any more.
    pub(super) fn refuse_newcomers(&mut self) {
        let (given, deadline) = (self.template.sockets.iter().flatten(), self.closing.deadline);
        let Some(foreign) = &self.template.foreign else { return given.for_each(refuse_now) };
        let own = given.chain(foreign.bound_for_linked()).map(Socket::try_clone);
        let sockets = own.filter_map(|socket| socket.inspect_err(cannot_close).ok()).collect();
        let (primary, events) = (foreign.primary_ending(), self.events.clone());
        tokio::spawn(async move {
            let queues = Queues::close(sockets, primary).await;
            let Some(deadline) = deadline else { return };
            if !queues.are_served(deadline).await {
                crate::log::warn!("connections wait that no node takes; nodes are told to end all the same");
            }
            // An error means that the supervisor is gone.
            let _ = events.send((NodeId::MASTER, NodeEvent::QueuesEmpty)).await;
        });
    }

    /// Drains the nodes that have waited for this, and closes the sockets. Their address is free when these nodes have ended.
    pub(super) fn queues_are_empty(&mut self) {
        for id in std::mem::take(&mut self.closing.waiting) {
            self.end(id);
        }
        self.template.sockets.clear();
        if let Some(primary) = self.template.foreign.as_ref().and_then(Foreign::primary_ending) {
            tokio::spawn(async move { primary.close().await });
        }
    }
}

/// Of nodes that link this crate, which take what waits and close Unix sockets.
fn refuse_now(socket: &Socket) {
    if let Socket::Tcp(listener) = socket {
        let _ = sys::epoll::make_unreachable(listener).inspect_err(cannot_close);
    }
}

fn cannot_close(error: &std::io::Error) {
    crate::log::debug!(%error, "cannot close a listening socket to new clients");
}

/// What waits in the sockets, and with the primary of Node.js programs.
struct Queues {
    sockets: Vec<Socket>,
    primary: Option<PrimaryEnding>,
}

impl Queues {
    /// Refuses new clients.
    async fn close(mut sockets: Vec<Socket>, primary: Option<PrimaryEnding>) -> Queues {
        if let Some(primary) = &primary {
            sockets.extend(primary.sockets().await);
        }
        for socket in &sockets {
            let _ = bind::refuse(socket).await.inspect_err(cannot_close);
        }
        Queues { sockets, primary }
    }

    /// Waits until nothing waits any more; false: the deadline came first.
    async fn are_served(&self, deadline: Instant) -> bool {
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
