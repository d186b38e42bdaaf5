//! The tasks of HTTP/2 requests, and the end of those whose answers the client does not take.
//!
//! hyper asks a response's body for its next bytes only when those before have been sent, and then waits for the client's flow
//! control, all in the task of the request. So bytes wait there where the body has given some and was not asked since.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;

use super::idle_timeout::IdleTimeout;

/// Runs the tasks of HTTP/2 requests on tokio, and ends those whose answers the client does not take; see
/// [`Http::write_timeout`](super::Http::write_timeout).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Http2Executor;

impl<F> Executor<F> for Http2Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(Stream { future, waits: None, idle_timeout: IdleTimeout::default() });
    }
}

/// What the body that was asked last has answered.
#[derive(Clone, Copy)]
enum Asked {
    /// It has nothing at present, or no more.
    Nothing,
    /// It has given bytes, which may take so long to be sent.
    Bytes(Duration),
}

thread_local! {
    /// What a body has answered in the task that runs on this thread, if it was asked.
    static ASKED: Cell<Option<Asked>> = const { Cell::new(None) };
}

/// A response's body has nothing to be sent.
pub(super) fn nothing_waits() {
    ASKED.set(Some(Asked::Nothing));
}

/// A response's body has given bytes. The client may take none of them for so long.
pub(super) fn bytes_wait(within: Duration) {
    ASKED.set(Some(Asked::Bytes(within)));
}

pin_project_lite::pin_project! {
    /// The task of one request. Its end resets the request's stream, where that has not ended.
    struct Stream<F> {
        #[pin]
        future: F,
        // How long bytes may wait that wait now.
        waits: Option<Duration>,
        idle_timeout: IdleTimeout,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        ASKED.set(None);
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(asked) = ASKED.take() {
            this.idle_timeout.begin_anew();
            *this.waits = match asked {
                Asked::Nothing => None,
                Asked::Bytes(within) => Some(within),
            };
        }
        match *this.waits {
            Some(within) => this.idle_timeout.poll(cx, within),
            None => Poll::Pending,
        }
    }
}
