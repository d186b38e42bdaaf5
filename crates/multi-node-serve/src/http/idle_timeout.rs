//! A timeout that restarts with each progress.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// How long something has been waited for. It costs nothing until there is a wait, and one timer from then on.
#[derive(Debug, Default)]
pub(super) struct IdleTimeout {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleTimeout {
    /// What was waited for has come.
    pub(super) fn begin_anew(&mut self) {
        self.since = None;
    }

    /// Ready when this has been asked for so long without [`begin_anew`](Self::begin_anew) between.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, within: Duration) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(due) = since.checked_add(within) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        // One that would fire early enough is left as it is: to reset it at each wait costs more than to look once too often.
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn progress_begins_it_anew() {
        const WITHIN: Duration = Duration::from_secs(60);
        let begin = Instant::now();
        let mut idle_timeout = IdleTimeout::default();
        for _ in 0..3 {
            let polled = idle_timeout.poll(&mut Context::from_waker(Waker::noop()), WITHIN);
            assert!(polled.is_pending());
            tokio::time::advance(Duration::from_secs(50)).await;
            idle_timeout.begin_anew();
        }
        poll_fn(|cx| idle_timeout.poll(cx, WITHIN)).await;
        assert_eq!(begin.elapsed().as_secs(), 3 * 50 + 60);
        let never = idle_timeout.poll(&mut Context::from_waker(Waker::noop()), Duration::MAX);
        assert!(never.is_pending());
    }
}
