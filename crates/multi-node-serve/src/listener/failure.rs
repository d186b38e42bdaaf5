//! Connections that cannot be accepted.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// How long to rest when connections cannot be accepted for want of files or memory, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Whether the failure is that of one connection which is gone already, or of another process having been faster.
pub(super) fn passes_at_once(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::WouldBlock
            | Kind::Interrupted
            | Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

/// The pause after a failure that does not pass at once: without it the process would spin.
#[derive(Default)]
pub(super) struct Rest {
    pub(super) failures: u32,
    until: Option<Pin<Box<Sleep>>>,
    logged: Option<Instant>,
}

impl Rest {
    pub(super) fn begin(&mut self, error: &io::Error) {
        let pause = REST.0.saturating_mul(1 << self.failures.min(8)).min(REST.1);
        self.failures += 1;
        self.until = Some(Box::pin(tokio::time::sleep(pause)));
        // The program ends: a node that drains already has closed the socket (accept(2), EINVAL), and this one is about to.
        let closed = error.kind() == io::ErrorKind::InvalidInput;
        let now = Instant::now();
        if !closed && self.logged.is_none_or(|then| now - then >= REST.1) {
            self.logged = Some(now);
            multi_node_sys::log::warn!(%error, "cannot accept connections; trying again");
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(until) = &mut self.until {
            ready!(until.as_mut().poll(cx));
            self.until = None;
        }
        Poll::Ready(())
    }
}
