//! What stands around the application's service: extensions in, counts around, and the drain's word out.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::task::{Context, Poll, Waker, ready};

use http::header::{CONNECTION, HeaderValue};
use http::{Extensions, Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tower_service::Service;

use super::builder::Shared;
use crate::serve::Addr;
use crate::serve::server::BoxError;

/// Who is connected to what, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnInfo {
    /// The client's address; with the PROXY protocol, the one that the proxy has told.
    pub peer: Addr,
    /// The address that the client connected to; with the PROXY protocol, at the proxy.
    pub local: Addr,
}

/// How far a connection is, as its bytes and its service see it, for the task that drives it.
///
/// All three run in one task with HTTP/1, and only response bodies and services in others with HTTP/2, so that no order between
/// these cells matters but that of one task.
pub(super) struct Progress {
    shared: Arc<Shared>,
    /// Requests begun and not fully answered.
    busy: AtomicU32,
    /// Requests begun; wraps.
    calls: AtomicU32,
    /// Bytes have come that belong to no request whose head is complete.
    heard: AtomicBool,
    /// The last request has a body, so that what comes is not the next head.
    bodied: AtomicBool,
    /// The client has sent all that it will.
    ended: AtomicBool,
    /// The connection is being taken from hyper.
    taken: AtomicBool,
}

impl Progress {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Progress> {
        Arc::new(Progress {
            shared,
            busy: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            heard: AtomicBool::new(false),
            bodied: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            taken: AtomicBool::new(false),
        })
    }

    /// Bytes have come.
    pub(super) fn heard(&self) {
        if self.busy.load(Relaxed) == 0 || !self.bodied.load(Relaxed) {
            self.heard.store(true, Relaxed);
        }
    }

    /// The client has sent all that it will.
    pub(super) fn ended(&self) {
        self.ended.store(true, Relaxed);
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) > 0
    }

    /// Whether a part of a request's head has come.
    pub(super) fn has_begun(&self) -> bool {
        self.heard.load(Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Whether the last request had a body, of which something may not have been read.
    pub(super) fn had_body(&self) -> bool {
        self.bodied.load(Relaxed)
    }

    /// How many requests there have been; wraps.
    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// Whether the process drains.
    pub(super) fn drains(&self) -> bool {
        self.shared.drain.is_draining()
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Relaxed)
    }

    /// Whether hyper may no longer close the connection.
    pub(super) fn set_taken(&self, taken: bool) {
        self.taken.store(taken, Relaxed);
    }

    fn begin(self: &Arc<Self>, bodied: bool) -> Answering {
        self.busy.fetch_add(1, Relaxed);
        self.calls.fetch_add(1, Relaxed);
        self.heard.store(false, Relaxed);
        self.bodied.store(bodied, Relaxed);
        self.shared.line.request_began();
        Answering(self.clone())
    }
}

/// A request that is being answered: from its head until its response's last byte has been given to hyper.
pub(super) struct Answering(Arc<Progress>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
        self.0.shared.line.request_ended();
    }
}

/// The application's service as hyper calls it, for one connection.
pub(super) struct Exchange<S> {
    service: RefCell<S>,
    progress: Arc<Progress>,
    info: ConnInfo,
    /// HTTP/1, where a drain is told by a header.
    says_close: bool,
}

impl<S> Exchange<S> {
    pub(super) fn new(service: S, progress: Arc<Progress>, info: ConnInfo, says_close: bool) -> Exchange<S> {
        Exchange { service: RefCell::new(service), progress, info, says_close }
    }

    pub(super) fn into_service(self) -> S {
        self.service.into_inner()
    }

    fn extend(&self, extensions: &mut Extensions) {
        #[cfg(feature = "axum")]
        if let Addr::Tcp(peer) = self.info.peer {
            extensions.insert(axum::extract::ConnectInfo(peer));
        }
        extensions.insert(self.info);
        extensions.insert(self.progress.shared.handle.clone());
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Exchange<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<Counted<B>>;
    type Error = BoxError;
    type Future = Answer<S>;

    fn call(&self, mut request: Request<Incoming>) -> Answer<S> {
        let answering = Some(self.progress.begin(!request.body().is_end_stream()));
        self.extend(request.extensions_mut());
        let mut service = self.service.borrow_mut();
        // Nearly all services are always ready. One that is not is taken along into the future, as tower wants it: the clone
        // that was asked is the one to be called.
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { future: service.call(request) },
            Poll::Ready(Err(error)) => State::Failed { error: Some(error.into()) },
            Poll::Pending => {
                let fresh = service.clone();
                State::Waiting { service: mem::replace(&mut *service, fresh), request: Some(request) }
            }
        };
        Answer { state, answering, says_close: self.says_close }
    }
}

pin_project_lite::pin_project! {
    /// A response that is being made.
    pub(super) struct Answer<S: Service<Request<Incoming>>> {
        #[pin]
        state: State<S, S::Future>,
        answering: Option<Answering>,
        says_close: bool,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        Waiting { service: S, request: Option<Request<Incoming>> },
        Called { #[pin] future: F },
        Failed { error: Option<BoxError> },
    }
}

impl<S, B> Future for Answer<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<Counted<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.state.as_mut().project() {
                StateProjection::Called { future } => {
                    let mut response = ready!(future.poll(cx)).map_err(Into::into)?;
                    if *this.says_close && this.answering.as_ref().is_some_and(|answering| answering.0.drains()) {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    let answering = this.answering.take();
                    return Poll::Ready(Ok(response.map(|body| Counted { body, _answering: answering })));
                }
                StateProjection::Waiting { service, request } => {
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    service.call(request.take().expect("a request is taken out once, when the state changes"))
                }
                StateProjection::Failed { error } => {
                    return Poll::Ready(Err(error.take().expect("a future that has ended is not polled again")));
                }
            };
            this.state.set(State::Called { future });
        }
    }
}

pin_project_lite::pin_project! {
    /// A response's body; the request counts as being answered until this has been dropped.
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        _answering: Option<Answering>,
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
