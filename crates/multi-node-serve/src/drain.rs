//! The drain signal: stop accepting, finish what is in flight, leave.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep};

/// The side that gives the signal; clones give the same one.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Shared>);

/// Signals that this process drains: it takes no new connections, finishes what it has, and leaves.
#[derive(Clone, Debug)]
pub struct DrainSignal {
    shared: Arc<Shared>,
    /// `None`: it comes at once.
    turn: Option<Turn>,
}

#[derive(Debug, Default)]
struct Shared {
    draining: AtomicBool,
    times: OnceLock<Times>,
    begun: Arc<Notify>,
    /// Where the next turn is.
    next: AtomicU32,
    /// How many signals have a turn.
    turns: AtomicU32,
}

/// One signal's place among those that are staggered.
#[derive(Debug)]
struct Turn {
    shared: Arc<Shared>,
    /// The part of the time of all turns after which this one comes, of 2³².
    at: u32,
}

/// What becomes of connections that wait in the listening sockets' queues when this process drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Other processes take them.
    Left,
    /// This process still takes them, since no other process does.
    Taken,
    /// This process still takes them; after that the sockets are closed to all clients.
    TakenAndClosed,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    begin: Instant,
    waiting: Waiting,
    /// How long after the begin the last staggered signal comes.
    stagger: Duration,
    deadline: Instant,
}

/// The step from one turn to the next: 2³² over the golden ratio. Multiples of it fill the range evenly, however many
/// there are (the additive recurrence of Weyl's equidistribution theorem).
const STEP: u32 = 0x9E37_79B9;

/// Turns need not be further apart: a hundred new connections a second are no rush.
const APART: Duration = Duration::from_millis(10);

impl Drain {
    /// A drain that has not begun, and its signal.
    pub fn new() -> (Drain, DrainSignal) {
        let shared = Arc::new(Shared::default());
        (Drain(shared.clone()), DrainSignal { shared, turn: None })
    }

    /// Begins the drain, which ends `within` that time. No other process serves, so the connections in the queues are taken
    /// first.
    /// Only the first call to begin counts.
    pub fn begin(&self, within: Duration) {
        self.set(within, Duration::ZERO, Waiting::Taken);
    }

    /// As [`begin`](Drain::begin), if the whole program ends. The sockets are closed for all processes that have them when
    /// their queues are empty, so that no client waits there in vain.
    #[cfg(multi_process)]
    pub fn begin_last(&self, within: Duration) {
        self.set(within, Duration::ZERO, Waiting::TakenAndClosed);
    }

    /// Begins the drain of a process whose siblings continue to serve. Staggered signals resolve 10 ms apart, or closer, so
    /// that all resolve in the first half of the time. So the clients do not all connect to the siblings at once.
    pub fn begin_staggered(&self, within: Duration) {
        self.set(within, APART.saturating_mul(self.0.turns.load(Relaxed)), Waiting::Left);
    }

    fn set(&self, within: Duration, stagger: Duration, waiting: Waiting) {
        let begin = Instant::now();
        // A time beyond the clock's range is as good as thirty years.
        let deadline = begin.checked_add(within).unwrap_or_else(|| begin + Duration::from_secs(86_400 * 365 * 30));
        let stagger = stagger.min((deadline - begin) / 2);
        if self.0.times.set(Times { begin, waiting, stagger, deadline }).is_ok() {
            self.0.draining.store(true, Release);
            self.0.begun.notify_waiters();
        }
    }
}

impl DrainSignal {
    /// The same signal at a staggered time if other processes serve, and at once if none does. It is for connections whose
    /// clients connect again when the drain reaches them. The times are spread evenly, 10 ms apart or closer, so that all are
    /// in the first half of the drain. [`Conn::drain`](crate::Conn::drain) is already such a signal.
    pub fn staggered(&self) -> DrainSignal {
        let at = self.shared.next.fetch_add(STEP, Relaxed);
        DrainSignal { shared: self.shared.clone(), turn: Some(Turn::new(self.shared.clone(), at)) }
    }

    /// Whether the drain has begun; of a staggered signal, whether its moment has come.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Acquire) && self.moment().is_none_or(|moment| moment <= Instant::now())
    }

    /// Resolves once the drain has begun, at once if it has; of a staggered signal, when its moment has come. Cancel-safe.
    pub async fn draining(&self) {
        let begun = self.shared.begun.notified();
        if !self.shared.draining.load(Acquire) {
            begun.await;
        }
        if let Some(moment) = self.moment() {
            tokio::time::sleep_until(moment).await;
        }
    }

    /// When a staggered signal comes; `None` for one that comes at once, and before the drain has begun.
    fn moment(&self) -> Option<Instant> {
        let Turn { at, .. } = self.turn.as_ref()?;
        let Times { begin, stagger, .. } = self.shared.times.get()?;
        Some(*begin + stagger.mul_f64(f64::from(*at) / f64::from(u32::MAX)))
    }

    /// What happens to connections that are not accepted yet. Before the drain other processes take them.
    pub(super) fn waiting(&self) -> Waiting {
        self.shared.times.get().map_or(Waiting::Left, |times| times.waiting)
    }

    /// Whether the time to finish is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_draining() && self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// When what is not finished will be cut; `None` before the drain has begun.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.times.get().map(|times| times.deadline)
    }
}

impl Turn {
    fn new(shared: Arc<Shared>, at: u32) -> Turn {
        shared.turns.fetch_add(1, Relaxed);
        Turn { shared, at }
    }
}

impl Clone for Turn {
    fn clone(&self) -> Turn {
        Turn::new(self.shared.clone(), self.at)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.turns.fetch_sub(1, Relaxed);
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
    /// The drain has begun; reported once, and again after [`Watch::tell_again`].
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
    #[inline]
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<Seen> {
        if self.as_mut().poll_drain(cx).is_ready() {
            return Poll::Ready(Seen::Drain);
        }
        let aborted = self.signal.deadline();
        let next = deadline.into_iter().chain(aborted).min();
        let Some(next) = next else { return Poll::Pending };
        if self.as_mut().poll_timer(cx, next).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(if Some(next) == aborted { Seen::Cut } else { Seen::Due })
    }

    /// Makes the next owner of the watch see the drain too.
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
            this.begun.set(Some(this.signal.shared.begun.clone().notified_owned()));
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
pub(super) async fn aborted(signal: DrainSignal) {
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
    async fn the_time_to_finish_is_over_at_the_deadline() {
        let (drain, signal) = Drain::new();
        assert!(!signal.is_over());
        drain.begin(Duration::from_secs(3));
        assert!(!signal.is_over());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(signal.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_the_clock_is_thirty_years() {
        let (drain, signal) = Drain::new();
        drain.begin(Duration::MAX);
        assert_eq!(signal.deadline(), Some(Instant::now() + Duration::from_secs(946_080_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn staggered_signals_come_evenly_over_the_first_half() {
        let (drain, signal) = Drain::new();
        let waits: Vec<_> = (0..2000)
            .map(|_| {
                let signal = signal.staggered();
                tokio::spawn(async move {
                    signal.draining().await;
                    assert!(signal.is_draining());
                    Instant::now()
                })
            })
            .collect();
        let begin = Instant::now();
        drain.begin_staggered(Duration::from_secs(20));
        assert!(signal.is_draining(), "who is not staggered is told at once");
        let mut tenths = [0; 10];
        for wait in waits {
            let after = wait.await.expect("told") - begin;
            tenths[after.as_secs() as usize] += 1;
        }
        assert!(tenths.iter().all(|told| (190..=210).contains(told)), "told in each second: {tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn few_need_not_wait_for_each_other() {
        let (drain, signal) = Drain::new();
        drop([signal.staggered(), signal.staggered()]);
        let left = [signal.staggered(), signal.staggered()];
        let begin = Instant::now();
        drain.begin_staggered(Duration::from_secs(20));
        for signal in &left {
            signal.draining().await;
        }
        assert!(begin.elapsed() <= 2 * APART + Duration::from_millis(1), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_serves_on_all_are_told_at_once() {
        let (drain, signal) = Drain::new();
        let staggered = signal.staggered();
        let begin = Instant::now();
        drain.begin(Duration::from_secs(20));
        staggered.draining().await;
        assert_eq!(Instant::now(), begin);
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
