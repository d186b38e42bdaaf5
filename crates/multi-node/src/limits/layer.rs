//! A rate limit in front of an HTTP service.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use multi_node_limits::{Allowed, Denied, Limit};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::serve::ConnInfo;

/// What is allowed, as draft-ietf-httpapi-ratelimit-headers has it.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it.
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// A [`tower`](https://docs.rs/tower) layer that answers requests above a [`Limit`] with 429 (Too Many Requests, RFC 6585 §4) and
/// `Retry-After`. Each answer has the headers `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers.
///
/// Requests count by their client's IP address ([`ConnInfo`]); [`by`](RateLimitLayer::by) says otherwise. One without a key, as over a
/// Unix socket, is not limited.
///
/// ```no_run
/// # use axum::{Router, routing::get};
/// # use multi_node::Handle;
/// # use multi_node::limits::{Quota, RateLimitLayer};
/// # fn app(node: Handle) -> Router {
/// let limit = node.limit("requests", Quota::per_minute(100));
/// Router::new().route("/", get(async || "hello")).layer(RateLimitLayer::new(limit))
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimitLayer {
    limit: Limit,
    key: Arc<Key>,
}

/// Makes a request's key.
type Key = dyn Fn(&RateLimitParts<'_>) -> Option<String> + Send + Sync;

/// What a request's key is made of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RateLimitParts<'a> {
    /// The client's connection, if the server provides it.
    pub conn: Option<&'a ConnInfo>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's path, without its query.
    pub path: &'a str,
}

impl RateLimitLayer {
    /// Limits each client's address.
    pub fn new(limit: Limit) -> RateLimitLayer {
        RateLimitLayer { limit, key: Arc::new(client) }
    }

    /// Limits each key that this makes of a request. `None`: the request is not limited.
    ///
    /// A header that a client may set to anything is no key: it would be another one with each request.
    pub fn by<K: Display>(
        mut self,
        key: impl Fn(&RateLimitParts<'_>) -> Option<K> + Send + Sync + 'static,
    ) -> RateLimitLayer {
        self.key = Arc::new(move |parts| key(parts).map(|key| key.to_string()));
        self
    }
}

/// The client's address: of IPv6 its first 64 bits, since a client has all that are behind them.
fn client(parts: &RateLimitParts<'_>) -> Option<String> {
    let ip = parts.conn?.peer.tcp()?.ip().to_canonical();
    Some(match ip {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    })
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<S> tower_layer::Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, service: S) -> RateLimit<S> {
        RateLimit { layer: self.clone(), service }
    }
}

/// A service behind a [`RateLimitLayer`].
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    layer: RateLimitLayer,
    service: S,
}

impl<S, B, R> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RateLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> RateLimitFuture<S::Future> {
        let RateLimitLayer { limit, key } = &self.layer;
        let parts =
            RateLimitParts { conn: request.extensions().get(), headers: request.headers(), path: request.uri().path() };
        let state = key(&parts).map(|key| State { answer: limit.check(key), limit: limit.clone() });
        match state {
            Some(state) if state.answer.is_err() => RateLimitFuture::Denied { state },
            state => RateLimitFuture::Allowed { future: self.service.call(request), state },
        }
    }
}

/// What came of a request's check.
#[derive(Debug)]
struct State {
    answer: Result<Allowed, Denied>,
    limit: Limit,
}

pin_project! {
    /// The answer of a [`RateLimit`].
    #[derive(Debug)]
    #[project = RateLimitFutureProject]
    pub enum RateLimitFuture<F> {
        #[doc(hidden)]
        Allowed { #[pin] future: F, state: Option<State> },
        #[doc(hidden)]
        Denied { state: State },
    }
}

impl<F, R, E> Future for RateLimitFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let (mut response, state) = match self.project() {
            RateLimitFutureProject::Allowed { future, state } => (ready!(future.poll(cx))?, state.as_ref()),
            RateLimitFutureProject::Denied { state } => {
                let mut response = Response::new(R::default());
                *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                (response, Some(&*state))
            }
        };
        if let Some(state) = state {
            state.write(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}

impl State {
    fn write(&self, headers: &mut HeaderMap) {
        let quota = self.limit.quota();
        let (remaining, time) = match self.answer {
            Ok(allowed) => (allowed.remaining, allowed.reset_after),
            Err(denied) => (0, denied.retry_after),
        };
        let name = self.limit.name();
        let mut set = |header, value: String| {
            // A name may have what no header has.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(header, value);
            }
        };
        set(POLICY, format!("\"{name}\";q={};w={}", quota.limit(), seconds(quota.window())));
        set(STATE, format!("\"{name}\";r={remaining};t={}", seconds(time)));
        if self.answer.is_err() {
            set(header::RETRY_AFTER, seconds(time).to_string());
        }
    }
}

/// Whole seconds, rounded up, so that a client that waits for them has waited long enough.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;

    use multi_node_limits::{Quota, SharedTable};
    use tower_layer::Layer;

    use super::*;

    #[derive(Clone)]
    struct Hello;

    impl Service<Request<()>> for Hello {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            std::future::ready(Ok(Response::new("hello".to_owned())))
        }
    }

    fn limit(events: u64) -> Limit {
        Limit::new(SharedTable::local(100, [1; 16]), "requests", Quota::per_minute(events))
    }

    async fn ask(service: &mut RateLimit<Hello>, peer: &str) -> Response<String> {
        let mut request = Request::new(());
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(ConnInfo::new(peer.into(), peer.into()));
        service.call(request).await.expect("infallible")
    }

    fn header(response: &Response<String>, name: &str) -> String {
        response.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
    }

    #[tokio::test]
    async fn each_client_has_its_own_count_and_is_told_of_it() {
        let mut service = RateLimitLayer::new(limit(2)).layer(Hello);
        let first = ask(&mut service, "192.0.2.1:1000").await;
        assert_eq!((first.status(), first.body().as_str()), (StatusCode::OK, "hello"));
        assert_eq!(header(&first, "ratelimit-policy"), "\"requests\";q=2;w=60");
        assert_eq!(header(&first, "ratelimit"), "\"requests\";r=1;t=30");
        assert_eq!(ask(&mut service, "192.0.2.1:1001").await.status(), StatusCode::OK);
        let third = ask(&mut service, "192.0.2.1:1002").await;
        assert_eq!((third.status(), third.body().as_str()), (StatusCode::TOO_MANY_REQUESTS, ""));
        assert_eq!(
            (header(&third, "retry-after"), header(&third, "ratelimit")),
            ("30".into(), "\"requests\";r=0;t=30".into())
        );
        assert_eq!(ask(&mut service, "192.0.2.2:1000").await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_client_of_ipv6_is_its_network() {
        let mut service = RateLimitLayer::new(limit(1)).layer(Hello);
        assert_eq!(ask(&mut service, "[2001:db8::1]:1").await.status(), StatusCode::OK);
        assert_eq!(ask(&mut service, "[2001:db8::2]:1").await.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(ask(&mut service, "[2001:db8:0:1::1]:1").await.status(), StatusCode::OK);
        assert_eq!(ask(&mut service, "192.0.2.1:1").await.status(), StatusCode::OK);
        assert_eq!(ask(&mut service, "[::ffff:192.0.2.1]:1").await.status(), StatusCode::TOO_MANY_REQUESTS);
    }

    #[tokio::test]
    async fn other_keys_count_and_none_does_not() {
        let by_path = |parts: &RateLimitParts<'_>| parts.path.strip_prefix("/api").map(str::to_owned);
        let mut service = RateLimitLayer::new(limit(1)).by(by_path).layer(Hello);
        let mut ask = async |path: &str| {
            let request = Request::builder().uri(path).body(()).expect("a request");
            service.call(request).await.expect("infallible").status()
        };
        assert_eq!([ask("/api").await, ask("/api").await], [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS]);
        assert_eq!([ask("/").await, ask("/").await], [StatusCode::OK, StatusCode::OK]);
    }
}
