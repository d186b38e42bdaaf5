//! One HTTP connection from its first byte to its last.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tower_service::Service;

use super::builder::Shared;
use super::exchange::{ConnInfo, Exchange, Progress};
use super::rewound::Rewound;
use super::sniff::{Protocol, sniff};
use crate::serve::drain::{Seen, Watch};
use crate::serve::server::BoxError;
use crate::serve::{Addr, Stream};

/// How long a connection that this side closes is read from, so that bytes under way do not turn the end into a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes are read for that purpose.
const LINGER_BYTES: usize = 256 * 1024;
/// How long an idle HTTP/2 connection may take to leave after it was told to.
const LEAVE: Duration = Duration::from_secs(5);

/// A connection that was accepted.
pub(super) struct Connection<S> {
    stream: Stream,
    peer: Addr,
    shared: Arc<Shared>,
    service: S,
}

/// How hyper's part of a connection came to its end.
#[derive(Clone, Copy)]
enum End {
    /// By itself, with an error or without.
    Finished(bool),
    /// It was taken from hyper while nothing was under way.
    Taken,
    /// It was too slow.
    TimedOut,
    /// The drain's deadline came.
    Cut,
}

impl<S, B> Connection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(stream: Stream, peer: Addr, shared: Arc<Shared>, service: S) -> Connection<S> {
        Connection { stream, peer, shared, service }
    }

    /// Serves the connection until it has ended. The future is the task of this connection.
    pub(super) async fn serve(self) {
        let Connection { mut stream, peer, shared, service } = self;
        let Ok(local) = stream.local_addr() else { return };
        let mut info = ConnInfo { peer, local };
        let mut watch = pin!(Watch::new(shared.drain.clone()));
        match sniff(&mut stream, watch.as_mut(), &shared.settings, &mut info).await {
            Some((Protocol::Http1, first)) => http1(stream, first, watch, &shared, service, info).await,
            // Boxed, since it is much larger, and every connection's task would be as large.
            Some((Protocol::Http2, first)) => Box::pin(http2(stream, first, watch, &shared, service, info)).await,
            None => linger(stream, &shared).await,
        }
    }
}

async fn http1<S, B>(
    mut stream: Stream,
    mut before: Bytes,
    mut watch: Pin<&mut Watch>,
    shared: &Arc<Shared>,
    mut service: S,
    info: ConnInfo,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    loop {
        let progress = Progress::new(shared.clone());
        let exchange = Exchange::new(service, progress.clone(), info, true);
        let io = TokioIo::new(Rewound::new(stream, before, progress.clone()));
        let mut hyper = shared.builder.http1.serve_connection(io, exchange).with_upgrades();
        let mut clock = Clock::new(shared, &progress);
        let end = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = Pin::new(&mut hyper).poll(cx) {
                    let taken = progress.is_taken() && ended.is_ok();
                    return Poll::Ready(if taken { End::Taken } else { End::Finished(ended.is_ok()) });
                }
                progress.set_taken(false);
                match std::task::ready!(watch.as_mut().poll(cx, clock.deadline())) {
                    Seen::Drain => {
                        // hyper lets go of an idle connection at once, and of a busy one after its response. One whose next
                        // request has begun is left alone: its response will say that it is the last.
                        progress.set_taken(!progress.is_busy() && !progress.has_begun());
                        if progress.is_busy() || progress.is_taken() {
                            Pin::new(&mut hyper).graceful_shutdown();
                        }
                    }
                    Seen::Due => return Poll::Ready(End::TimedOut),
                    Seen::Cut => return Poll::Ready(End::Cut),
                }
            }
        })
        .await;
        // Whoever asked for an upgrade has the connection then.
        let Some(parts) = hyper.into_parts() else { return };
        let (left, unread) = parts.io.into_inner().into_parts();
        match settle(&end, left, parts.read_buf, &unread, &progress) {
            Rest::Again(left, read) => (stream, before, service) = (left, read, parts.service.into_service()),
            Rest::Close(left) => return linger(left, shared).await,
            Rest::Drop => return,
        }
    }
}

/// What becomes of a connection that hyper has let go of.
enum Rest {
    /// It goes on: the head of a request had come in the same read as the one before it.
    Again(Stream, Bytes),
    /// It is closed with care, since the client may have sent something that nobody has read.
    Close(Stream),
    /// It can just be dropped, or has been.
    Drop,
}

/// Decides what becomes of a connection that hyper has let go of.
///
/// `End::Taken` is the safe point: no service call runs, the response has been written and flushed, the request has been read to
/// its end (else hyper would not have let go of it), and all that was read beyond it is in `read`. What idle connections
/// shall be given to, a sibling or the end, is to be decided here and nowhere else.
fn settle(end: &End, stream: Stream, read: Bytes, unread: &Bytes, progress: &Progress) -> Rest {
    match end {
        End::Taken if !read.is_empty() && !progress.has_ended() => Rest::Again(stream, read),
        End::Taken | End::TimedOut => Rest::Close(stream),
        End::Cut => Rest::Drop,
        End::Finished(_) if progress.has_ended() => Rest::Drop,
        End::Finished(well) => {
            let pending = || !read.is_empty() || !unread.is_empty() || stream.try_read(&mut [0]).is_ok_and(|n| n > 0);
            match !well || progress.had_body() || progress.drains() || pending() {
                true => Rest::Close(stream),
                false => Rest::Drop,
            }
        }
    }
}

async fn http2<S, B>(
    stream: Stream,
    before: Bytes,
    mut watch: Pin<&mut Watch>,
    shared: &Arc<Shared>,
    service: S,
    info: ConnInfo,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let progress = Progress::new(shared.clone());
    let exchange = Exchange::new(service, progress.clone(), info, false);
    let io = TokioIo::new(Rewound::new(stream, before, progress.clone()));
    let mut hyper = pin!(shared.builder.http2.serve_connection(io, exchange));
    let mut clock = Clock::new(shared, &progress);
    let mut leaving = None;
    poll_fn(|cx| {
        loop {
            if hyper.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match std::task::ready!(watch.as_mut().poll(cx, clock.idle_deadline(leaving))) {
                Seen::Due if leaving.is_none() => leaving = Some(Instant::now() + LEAVE),
                Seen::Drain => {}
                Seen::Due | Seen::Cut => return Poll::Ready(()),
            }
            hyper.as_mut().graceful_shutdown();
        }
    })
    .await;
}

/// When a connection has to be looked at again, from what it was seen to do.
struct Clock<'a> {
    shared: &'a Shared,
    progress: &'a Progress,
    phase: Phase,
    /// When it was first seen in its phase; not known of the first, nor needed of any busy one.
    since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Busy,
    /// Waiting for a request, after so many.
    Idle(u32),
    /// Reading a request's head, after so many requests.
    Head(u32),
}

impl<'a> Clock<'a> {
    fn new(shared: &'a Shared, progress: &'a Progress) -> Clock<'a> {
        Clock { shared, progress, phase: Phase::Busy, since: None }
    }

    /// The deadline of an HTTP/1 connection's phase; to be asked whenever hyper has done what it could.
    fn deadline(&mut self) -> Option<Instant> {
        let phase = match (self.progress.is_busy(), self.progress.has_begun()) {
            (true, _) => Phase::Busy,
            (false, false) => Phase::Idle(self.progress.calls()),
            (false, true) => Phase::Head(self.progress.calls()),
        };
        self.enter(phase);
        match phase {
            Phase::Busy => None,
            Phase::Idle(_) => Some(self.since? + self.shared.settings.keep_alive_timeout),
            Phase::Head(_) => Some(self.since? + self.shared.settings.header_timeout),
        }
    }

    /// The deadline of an HTTP/2 connection, which is `leaving` once it was told to leave for being idle.
    fn idle_deadline(&mut self, leaving: Option<Instant>) -> Option<Instant> {
        let phase = match self.progress.is_busy() {
            true => Phase::Busy,
            false => Phase::Idle(self.progress.calls()),
        };
        self.enter(phase);
        match phase {
            Phase::Busy | Phase::Head(_) => None,
            Phase::Idle(_) => leaving.or(Some(self.since? + self.shared.settings.keep_alive_timeout)),
        }
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

/// Closes a connection of whose bytes some may be unread or under way: says that no more will come, and reads for a moment
/// what does.
async fn linger(mut stream: Stream, shared: &Shared) {
    let reading = async {
        stream.shutdown().await?;
        let mut buffer = [0; 4096];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        io::Result::Ok(())
    };
    let end = Instant::now() + LINGER;
    let end = shared.drain.deadline().map_or(end, |deadline| deadline.min(end));
    let _ = tokio::time::timeout_at(end, reading).await;
}
