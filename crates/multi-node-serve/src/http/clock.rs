//! The deadlines of a connection, from what it was seen to do.

use tokio::time::Instant;

use super::progress::Progress;

/// When a connection has to be looked at again, from what it was seen to do.
pub(super) struct Clock<'a> {
    progress: &'a Progress,
    phase: Phase,
    /// When it was first seen in its phase; not known of the first, nor needed of `Busy`.
    since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Busy,
    /// Waiting for a request, after this number of requests.
    Idle(u64),
    /// Reading a request's head, after this number of requests.
    Head(u64),
    /// Bytes wait that the client does not take, after this number of bytes that moved.
    Blocked(u64),
    /// A client that has shut down its writing side waits for an answer, or for more of it, after this number of bytes that moved.
    HalfClosed(u64),
}

impl<'a> Clock<'a> {
    pub(super) fn new(progress: &'a Progress) -> Clock<'a> {
        Clock { progress, phase: Phase::Busy, since: None }
    }

    /// The deadline of an HTTP/1 connection's phase. Call this whenever hyper has done what it could.
    #[inline]
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let progress = self.progress;
        self.enter(match (progress.is_busy(), progress.has_begun()) {
            _ if progress.is_blocked() => Phase::Blocked(progress.moves()),
            (true, _) if progress.is_half_closed() => Phase::HalfClosed(progress.moves()),
            (true, _) => Phase::Busy,
            (false, false) => Phase::Idle(progress.calls()),
            (false, true) => Phase::Head(progress.calls()),
        });
        self.due()
    }

    /// The deadline of an HTTP/2 connection. `leaving` is set once the server has asked the client to leave because it is
    /// idle.
    pub(super) fn idle_deadline(&mut self, leaving: Option<Instant>) -> Option<Instant> {
        let progress = self.progress;
        self.enter(match progress.is_busy() {
            _ if progress.is_blocked() => Phase::Blocked(progress.moves()),
            true => Phase::Busy,
            false => Phase::Idle(progress.calls()),
        });
        leaving.filter(|_| matches!(self.phase, Phase::Idle(_))).or_else(|| self.due())
    }

    fn due(&self) -> Option<Instant> {
        let settings = &self.progress.shared().settings;
        let idle_timeout = match self.phase {
            Phase::Busy => return None,
            Phase::Idle(_) => settings.keep_alive_timeout,
            Phase::Head(_) => settings.header_timeout,
            Phase::Blocked(_) => settings.write_timeout,
            Phase::HalfClosed(_) => settings.half_close_timeout,
        };
        let due = self.since?.checked_add(idle_timeout)?;
        let kept = || self.progress.shared().kept_until();
        Some(matches!(self.phase, Phase::Idle(_)).then(kept).flatten().map_or(due, |until| until.min(due)))
    }

    /// Whether the deadline that has passed suggests that the client is gone.
    pub(super) fn client_is_gone(&self) -> bool {
        matches!(self.phase, Phase::Blocked(_) | Phase::HalfClosed(_))
    }

    /// Reads the clock only when the phase changes: once a request.
    fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            if phase != Phase::Busy {
                self.since = Some(Instant::now());
            }
        }
    }
}
