//! The body of a request, for which a service does not wait for ever.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::idle_timeout::IdleTimeout;
use super::progress::{Answering, Progress};

/// The body of a request: hyper's, which ends with an error where the client sends nothing of it for [`Http::body_timeout`](super::Http::body_timeout).
pub struct RequestBody {
    incoming: Incoming,
    /// `None`: it is empty, or its time is not limited any more.
    limit: Option<Limit>,
}

/// Why the body of a request ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// The client was silent for too long.
    #[error("the client has sent nothing of the request's body for {0:?}")]
    TimedOut(Duration),
    /// The connection has ended, or what came is no body.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

struct Limit {
    progress: Arc<Progress>,
    /// The request's number on its connection.
    request: u64,
    idle_timeout: IdleTimeout,
}

impl RequestBody {
    /// `answering` is the request's, where it has a body.
    pub(super) fn new(incoming: Incoming, answering: Option<&Answering>) -> RequestBody {
        let limit = answering.map(|answering| {
            let (progress, request) = answering.request();
            Limit { progress, request, idle_timeout: IdleTimeout::default() }
        });
        RequestBody { incoming, limit }
    }

    /// hyper's own body, whose time is not limited.
    pub fn into_incoming(self) -> Incoming {
        self.incoming
    }

    /// Nothing has come at present.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(limit) = &mut self.limit else { return Poll::Pending };
        let within = limit.progress.shared().settings.body_timeout;
        ready!(limit.idle_timeout.poll(cx, within));
        match limit.progress.awaits_head(limit.request) {
            true => Poll::Ready(within),
            false => {
                self.limit = None;
                Poll::Pending
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            if let Some(limit) = &mut this.limit {
                limit.idle_timeout.begin_anew();
                if frame.is_none() || this.incoming.is_end_stream() {
                    limit.progress.body_was_read(limit.request);
                }
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        this.poll_limit(cx).map(|within| Some(Err(RequestBodyError::TimedOut(within))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}
