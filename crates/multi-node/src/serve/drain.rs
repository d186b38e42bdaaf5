//! The drain signal: stop accepting, finish what is in flight, leave.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep};

/// The side that gives the signal.
#[derive(Debug)]
pub(crate) struct Drain(Arc<Shared>);

/// Tells that this process drains: it takes no new connections, finishes what it has, and leaves.
#[derive(Clone, Debug)]
pub struct DrainSignal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    draining: AtomicBool,
    deadline: OnceLock<Instant>,
    begun: Arc<Notify>,
}

impl Drain {
    pub(crate) fn new() -> (Drain, DrainSignal) {
        let shared = Arc::new(Shared::default());
        (Drain(shared.clone()), DrainSignal(shared))
    }

    /// Begins the drain, which ends `within` that time. Only the first call counts.
    pub(crate) fn begin(&self, within: Duration) {
        let now = Instant::now();
        // A time beyond the clock's range is as good as thirty years.
        let deadline = now.checked_add(within).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365 * 30));
        if self.0.deadline.set(deadline).is_ok() {
            self.0.draining.store(true, Release);
            self.0.begun.notify_waiters();
        }
    }
}

impl DrainSignal {
    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Acquire)
    }

    /// Resolves once the drain has begun, at once if it has. Cancel-safe.
    pub async fn draining(&self) {
        let begun = self.0.begun.notified();
        if !self.is_draining() {
            begun.await;
        }
    }

    /// Whether the time to finish is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_draining() && self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// When what is not finished will be cut; `None` before the drain has begun.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get().copied()
    }
}

pin_project_lite::pin_project! {
    /// What one connection waits for beside its I/O: the drain, and the next time at which it has to be looked at.
    ///
    /// It is made to cost next to nothing for a request. It registers for the drain once and then looks at a flag, and its
    /// only timer is left as it is while it would fire early enough; when it fires, the deadline of that moment counts.
    pub(super) struct Watch {
        signal: DrainSignal,
        told: bool,
        #[pin]
        begun: Option<OwnedNotified>,
        #[pin]
        timer: Option<Sleep>,
        armed: Option<Instant>,
    }
}

/// What a [`Watch`] has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The drain has begun; told once, and again after [`Watch::tell_again`].
    Drain,
    /// The deadline has passed.
    Due,
    /// The end of the drain has come.
    Cut,
}

impl Watch {
    pub(super) fn new(signal: DrainSignal) -> Watch {
        Watch { signal, told: false, begun: None, timer: None, armed: None }
    }

    /// Waits for the drain and for `deadline`, where there is one.
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<Seen> {
        if self.as_mut().poll_drain(cx).is_ready() {
            return Poll::Ready(Seen::Drain);
        }
        let cut = self.signal.deadline();
        let next = deadline.into_iter().chain(cut).min();
        let Some(next) = next else { return Poll::Pending };
        if self.as_mut().poll_timer(cx, next).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(if Some(next) == cut { Seen::Cut } else { Seen::Due })
    }

    /// Lets whoever takes the watch over see the drain too.
    pub(super) fn tell_again(self: Pin<&mut Self>) {
        *self.project().told = false;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.signal.is_draining()
    }

    /// Ready when the drain begins, once; the task that asks first is the one that is woken.
    pub(super) fn poll_drain(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if *this.told {
            return Poll::Pending;
        }
        if this.begun.is_none() {
            this.begun.set(Some(this.signal.0.begun.clone().notified_owned()));
            // Registers; a drain that began before shows in the flag.
            let _ = this.begun.as_pin_mut().map(|begun| begun.poll(cx));
        }
        if !this.signal.is_draining() {
            return Poll::Pending;
        }
        *this.told = true;
        Poll::Ready(())
    }

    /// Ready where `next` has passed.
    fn poll_timer(self: Pin<&mut Self>, cx: &mut Context<'_>, next: Instant) -> Poll<()> {
        let mut this = self.project();
        let fires = this.timer.as_ref().as_pin_ref().is_some_and(|timer| !timer.is_elapsed());
        if fires && this.armed.is_some_and(|armed| armed <= next) {
            return Poll::Pending;
        }
        *this.armed = Some(next);
        match this.timer.as_mut().as_pin_mut() {
            Some(timer) => timer.reset(next),
            None => this.timer.set(Some(tokio::time::sleep_until(next))),
        }
        this.timer.as_pin_mut().map_or(Poll::Pending, |timer| timer.poll(cx))
    }
}

/// Waits, beside its work, for the end of the drain.
pub(super) async fn cut(signal: DrainSignal) {
    signal.draining().await;
    match signal.deadline() {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_drain_counts() {
        let (drain, signal) = Drain::new();
        assert!(!signal.is_draining() && signal.deadline().is_none());
        let waiter = tokio::spawn({
            let signal = signal.clone();
            async move { signal.draining().await }
        });
        tokio::task::yield_now().await;
        drain.begin(Duration::from_secs(3));
        drain.begin(Duration::from_secs(9));
        waiter.await.expect("the waiter is told");
        signal.draining().await;
        assert_eq!(signal.deadline(), Some(Instant::now() + Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_takes_the_deadline_of_the_moment() {
        let (drain, signal) = Drain::new();
        let mut watch = std::pin::pin!(Watch::new(signal));
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let seen = std::future::poll_fn(|cx| watch.as_mut().poll(cx, at(5))).await;
        assert_eq!((seen, Some(Instant::now())), (Seen::Due, at(5)));

        // Armed for 8, which is then too early for 10 and too late for 7.
        let pending = std::future::poll_fn(|cx| Poll::Ready(watch.as_mut().poll(cx, at(8)).is_pending())).await;
        assert!(pending);
        let seen = std::future::poll_fn(|cx| watch.as_mut().poll(cx, at(7))).await;
        assert_eq!((seen, Some(Instant::now())), (Seen::Due, at(7)));
        let _ = std::future::poll_fn(|cx| Poll::Ready(watch.as_mut().poll(cx, at(8)))).await;
        let seen = std::future::poll_fn(|cx| watch.as_mut().poll(cx, at(10))).await;
        assert_eq!((seen, Some(Instant::now())), (Seen::Due, at(10)));

        drain.begin(Duration::from_secs(3));
        let seen = std::future::poll_fn(|cx| watch.as_mut().poll(cx, None)).await;
        assert_eq!(seen, Seen::Drain);
        let seen = std::future::poll_fn(|cx| watch.as_mut().poll(cx, at(99))).await;
        assert_eq!((seen, Some(Instant::now())), (Seen::Cut, at(13)));
    }
}
