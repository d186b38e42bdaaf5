//! What stands around the application's service: extensions in, counts around, and the drain's word out.

use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Buf;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::upgrade::OnUpgrade;
use tower_service::Service;

use super::body::RequestBody;
use super::progress::{Answering, Progress};
use super::streams;
#[cfg(feature = "axum")]
use crate::Addr;
use crate::conn_info::ConnInfo;
use crate::server::BoxError;
use crate::terminator::TlsInfo;

/// The application's service as hyper calls it, for one connection.
pub(super) struct Exchange<S> {
    service: RefCell<S>,
    progress: Arc<Progress>,
    info: ConnInfo,
    tls: Option<TlsInfo>,
    /// What all requests of the connection carry, from its second request on: a copy costs less than to add to a map.
    carried: OnceCell<Extensions>,
    /// HTTP/1: a response announces the drain by a header.
    says_close: bool,
}

impl<S> Exchange<S> {
    pub(super) fn new(
        service: S,
        progress: Arc<Progress>,
        (info, tls): (&ConnInfo, Option<TlsInfo>),
        says_close: bool,
    ) -> Exchange<S> {
        let carried = OnceCell::new();
        Exchange { service: RefCell::new(service), progress, info: *info, tls, carried, says_close }
    }

    pub(super) fn into_service(self) -> S {
        self.service.into_inner()
    }

    /// The request as the service gets it. `answering` is the request's, where it has a body.
    #[inline]
    fn extended(&self, request: Request<Incoming>, answering: Option<&Answering>) -> Request<RequestBody> {
        let (mut parts, body) = request.into_parts();
        parts.extensions.extend(self.carried());
        Request::from_parts(parts, RequestBody::new(body, answering))
    }

    fn carried(&self) -> Extensions {
        if let Some(carried) = self.carried.get() {
            return carried.clone();
        }
        let carried = self.all_carry();
        if self.progress.calls() > 1 {
            let _ = self.carried.set(carried.clone());
        }
        carried
    }

    /// Copies what the requests of all connections carry, since to make a map of one's own and let it grow costs more.
    #[cfg_attr(not(feature = "tls"), allow(unreachable_code, reason = "there is no such identity then"))]
    fn all_carry(&self) -> Extensions {
        let mut extensions = self.progress.shared().extensions.clone();
        #[cfg(feature = "axum")]
        if let Addr::Tcp(peer) = self.info.peer {
            extensions.insert(axum::extract::ConnectInfo(peer));
        }
        extensions.insert(self.info);
        if let Some(tls) = &self.tls {
            extensions.insert(tls.clone());
        }
        extensions
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Exchange<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<CountedBody<B>>;
    type Error = BoxError;
    type Future = Answer<S>;

    fn call(&self, request: Request<Incoming>) -> Answer<S> {
        let has_body = !request.body().is_end_stream();
        let answering = self.progress.begin(has_body);
        if self.says_close && !names_host(request.headers(), request.version()) {
            return Answer { state: State::Refused, answering: Some(answering), offer: None, says_close: true };
        }
        let offer = Offer::of(&request);
        let limited = has_body.then_some(&answering);
        let mut service = self.service.borrow_mut();
        // Nearly all services are always ready. One that is not moves into the future, as tower requires it: the clone that
        // was polled has to be the one that is called.
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { future: service.call(self.extended(request, limited)) },
            Poll::Ready(Err(error)) => State::Failed { error: Some(error.into()) },
            Poll::Pending => {
                let fresh = service.clone();
                let request = self.extended(request, limited);
                State::Waiting { call: Box::new((mem::replace(&mut *service, fresh), Some(request))) }
            }
        };
        Answer { state, answering: Some(answering), offer, says_close: self.says_close }
    }
}

/// Whether a request has exactly one `Host`, without which it must be refused (RFC 9112, section 3.2). HTTP/1.0 may lack it.
fn names_host(headers: &HeaderMap, version: Version) -> bool {
    // Nearly all clients send it first. Values of one name come one after the other, so that no search is needed then.
    let mut names = headers.iter().map(|(name, _)| name);
    if names.next().is_some_and(|name| name == HOST) {
        return names.next().is_none_or(|name| name != HOST);
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (Some(_), Some(_)) => false,
        (None, _) => version < Version::HTTP_11,
    }
}

pin_project_lite::pin_project! {
    /// A response that is being made.
    pub(super) struct Answer<S: Service<Request<RequestBody>>> {
        #[pin]
        state: State<S, S::Future>,
        answering: Option<Answering>,
        offer: Option<Offer>,
        says_close: bool,
    }
}

/// A client's offer to continue with another protocol.
struct Offer {
    upgrade: OnUpgrade,
    /// Any success accepts it, not only the status for it.
    connect: bool,
}

impl Offer {
    fn of(request: &Request<Incoming>) -> Option<Offer> {
        let upgrade = request.extensions().get::<OnUpgrade>()?.clone();
        Some(Offer { upgrade, connect: request.method() == Method::CONNECT })
    }

    fn is_accepted_by(&self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || (self.connect && status.is_success())
    }
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        // In a box, since every answer would be moved with room for it, and few services wait.
        Waiting { call: Box<(S, Option<Request<RequestBody>>)> },
        Called { #[pin] future: F },
        Failed { error: Option<BoxError> },
        // The service does not see the request.
        Refused,
    }
}

impl<S, B> Future for Answer<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<CountedBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let error: BoxError = match this.state.as_mut().project() {
                StateProjection::Called { future } => match ready!(future.poll(cx)) {
                    Ok(response) => {
                        let (answering, offer) = (this.answering.take(), this.offer.take());
                        return Poll::Ready(Ok(finish(response, answering, offer, *this.says_close)));
                    }
                    Err(error) => error.into(),
                },
                StateProjection::Waiting { call } => {
                    let (service, request) = &mut **call;
                    match ready!(service.poll_ready(cx)) {
                        Ok(()) => {
                            let request = request.take().expect("a request is taken out once, when the state changes");
                            let future = service.call(request);
                            this.state.set(State::Called { future });
                            continue;
                        }
                        Err(error) => error.into(),
                    }
                }
                StateProjection::Failed { error } => error.take().expect("a future that has ended is not polled again"),
                StateProjection::Refused => return Poll::Ready(Ok(refusal(this.answering.take()))),
            };
            this.answering.take().iter().for_each(Answering::failed);
            return Poll::Ready(Err(error));
        }
    }
}

/// What the service has answered, as hyper gets it.
#[inline]
fn finish<B>(
    response: Response<B>,
    answering: Option<Answering>,
    offer: Option<Offer>,
    says_close: bool,
) -> Response<CountedBody<B>> {
    let (mut parts, body) = response.into_parts();
    if let Some(answering) = &answering {
        if parts.status.is_server_error() {
            answering.failed();
        }
        let refused = offer.as_ref().is_none_or(|offer| !offer.is_accepted_by(parts.status));
        // An answer that accepts has to name the upgrade there.
        if says_close && refused && answering.is_last() {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        match offer {
            Some(offer) if refused => answering.keep_unused(offer.upgrade),
            Some(_) => answering.upgrades(),
            None => {}
        }
        answering.head_is_out();
    }
    Response::from_parts(parts, CountedBody { body: Some(body), given: 0, is_stream: !says_close, answering })
}

/// The answer to a request that is none.
fn refusal<B>(answering: Option<Answering>) -> Response<CountedBody<B>> {
    let mut response = Response::new(CountedBody { body: None, given: 0, is_stream: false, answering });
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pin_project_lite::pin_project! {
    /// A response's body; the request counts as being answered until this has been dropped.
    pub(super) struct CountedBody<B> {
        // `None`: it is empty.
        #[pin]
        body: Option<B>,
        // How many bytes it has given last.
        given: usize,
        // HTTP/2, where each answer waits for itself.
        is_stream: bool,
        answering: Option<Answering>,
    }
}

/// A client takes so much within each [`write_timeout`](super::Http::write_timeout) at least.
const TAKEN_WITHIN: usize = 64 * 1024;

/// Notes how many bytes a body has given, for the task of an HTTP/2 request. What it gave before is sent first.
fn note(given: usize, before: usize, timeout: Duration) {
    if given == 0 {
        return streams::nothing_waits();
    }
    let times = 1 + (given + before) / TAKEN_WITHIN;
    streams::bytes_wait(timeout.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX)));
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let polled = body.poll_frame(cx);
        if *this.is_stream
            && let Some(answering) = this.answering
        {
            let given = match &polled {
                Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Buf::remaining),
                _ => 0,
            };
            note(given, mem::replace(this.given, given), answering.write_timeout());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}
