//! The HTTP server of the master's own address: requests to pages.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, header};
use tokio::sync::mpsc;
use tower_service::Service;

use super::collector::Collector;
use crate::admin::{Instance, Observer};
use crate::id::NodeId;
use crate::metrics::{CONTENT_TYPE, GaugeAggregation, Series};
use crate::metrics_sink::MetricsSink;
use crate::options::{Address, Settings};
use crate::serve::{self, Addr, ConnInfo, Drain, LoadTable, Place, RequestBody, Serving, Socket};
use crate::{Error, bind};
use multi_node_fleet::status::State;

/// How many connections are open at once. For one more, the one that has been idle for the longest is closed: who holds all of them
/// must not keep an orchestrator from asking for health.
const MOST_CONNECTIONS: usize = 64;

/// How long the head of a request may take, how long a connection may be idle, and how long a client may take no byte of an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long answers may take at the end.
const DRAIN_NOTICE: Duration = Duration::from_millis(500);

/// An address that is bound and not served.
#[derive(Debug)]
pub(crate) struct Bound {
    address: Address,
    sockets: Vec<Socket>,
    metrics_sink: (MetricsSink, mpsc::Receiver<(NodeId, Vec<Series>)>),
    rules: Vec<(String, GaugeAggregation)>,
}

/// The server, which answers until it is closed.
pub(crate) struct MetricsServer {
    address: Address,
    drain: Drain,
    serving: Serving,
}

impl MetricsServer {
    /// Binds the address that the settings name.
    pub(crate) async fn bind(settings: &Settings) -> Result<Option<Bound>, Error> {
        let Some(address) = settings.metrics.clone() else { return Ok(None) };
        let bound = bind::bind_private(&[vec![address.clone()]], settings.into()).await?;
        let sockets = bound.into_iter().flatten().collect();
        Ok(Some(Bound {
            address,
            sockets,
            metrics_sink: MetricsSink::channel(),
            rules: settings.metering.gauges.clone(),
        }))
    }
}

impl Bound {
    /// Where what nodes tell is taken in.
    pub(crate) fn metrics_sink(&self) -> MetricsSink {
        self.metrics_sink.0.clone()
    }

    /// Answers from now on.
    pub(crate) async fn serve(self, observer: Observer) -> Result<MetricsServer, Error> {
        let Bound { address, sockets, metrics_sink: (_, metrics_sink), rules } = self;
        for addr in sockets.iter().filter_map(|socket| socket.local_addr().ok()) {
            crate::log::info!(target: "multi_node", "metrics are served on {addr}");
        }
        let (drain, draining) = Drain::new();
        let handle = observer.handle.clone();
        let collector = Collector::start(observer.clone(), metrics_sink, rules);
        let pages = Pages { collector, observer, name: name(&address).into() };
        let server = serve::http(pages)
            .max_connections(MOST_CONNECTIONS)
            .idlest_leaves()
            .header_timeout(PATIENCE)
            .keep_alive_timeout(PATIENCE)
            .half_close_timeout(PATIENCE)
            .body_timeout(PATIENCE)
            .write_timeout(PATIENCE);
        // It counts for itself: what asks for metrics is no request to the program.
        let place = Place::new(LoadTable::local(), 0);
        let serving = serve::start(server.into(), vec![sockets], place, handle, draining).await;
        let serving = serving.map_err(|error| Error::Start { cause: error.to_string() })?;
        Ok(MetricsServer { address, drain, serving })
    }
}

impl MetricsServer {
    /// Finishes what is being answered, and frees the address.
    pub(crate) async fn close(mut self) {
        self.drain.begin(DRAIN_NOTICE);
        if let Err(error) = self.serving.finished().await {
            crate::log::warn!(target: "multi_node", %error, "the server of metrics ended before its time");
        }
        bind::unlink(&[vec![self.address]]);
    }
}

/// The service.
#[derive(Clone)]
struct Pages {
    collector: Collector,
    observer: Observer,
    /// The host that the address names.
    name: Arc<str>,
}

impl Service<Request<RequestBody>> for Pages {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let pages = self.clone();
        Box::pin(async move {
            let reads = matches!(*request.method(), Method::GET | Method::HEAD);
            Ok(match request.uri().path() {
                _ if !reads => not_allowed(),
                "/status" if !is_asked_directly(&request, &pages.name) => misdirected(),
                path => pages.page(path).await,
            })
        })
    }
}

impl Pages {
    async fn page(&self, path: &str) -> Response<String> {
        match path {
            "/metrics" => match self.collector.page().await {
                Some(page) => answer(StatusCode::OK, CONTENT_TYPE, page),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the program is ending"),
            },
            "/healthz" => text(StatusCode::OK, "the master answers"),
            "/readyz" => ready(&self.observer.now().await),
            "/status" => match serde_json::to_string(&self.observer.now().await) {
                Ok(json) => answer(StatusCode::OK, "application/json", json),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /healthz, /readyz and /status"),
        }
    }
}

fn name(address: &Address) -> &str {
    match address {
        Address::Tcp { host, .. } => host,
        Address::Unix(_) => "",
    }
}

/// Whether no browser can have been led here by a foreign name that resolves to this address (DNS rebinding): such a name has
/// a dot. `own` is the host that the address names.
fn is_asked_directly<B>(request: &Request<B>, own: &str) -> bool {
    if request.extensions().get::<ConnInfo>().is_some_and(|info| info.local == Addr::Unix) {
        return true;
    }
    let header = || request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("."));
    let Some(host) = request.uri().authority().map(Authority::as_str).or_else(header) else { return true };
    let Ok(host) = host.parse::<Authority>() else { return host.is_empty() };
    let host = host.host().trim_end_matches('.');
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || !host.contains('.') || host.eq_ignore_ascii_case(own)
}

fn misdirected() -> Response<String> {
    let why = "/status is told to those who ask for it by an IP address, by a name without a dot such as localhost, or by the name \
               in the option `metrics`";
    text(StatusCode::MISDIRECTED_REQUEST, why)
}

fn ready(instance: &Instance) -> Response<String> {
    let serving = instance.slots.iter().filter(|slot| slot.state == State::Serving).count();
    let status = if instance.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, &format!("{serving} of {} serve", instance.wanted))
}

fn text(status: StatusCode, text: &str) -> Response<String> {
    answer(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn not_allowed() -> Response<String> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    response
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_directly(host: Option<&'static str>, local: Addr) -> bool {
        let mut request = Request::get("/status").body(()).expect("a request");
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, header::HeaderValue::from_static(host));
        }
        request.extensions_mut().insert(ConnInfo::new(local, local));
        is_asked_directly(&request, "metrics.example.org")
    }

    #[test]
    fn a_name_of_somebody_elses_is_told_from_ones_own() {
        let tcp = Addr::Tcp(([127, 0, 0, 1], 9100).into());
        for host in [
            "127.0.0.1",
            "127.0.0.1:9100",
            "[::1]:9100",
            "localhost",
            "LOCALHOST.:1",
            "app:9100",
            "",
            "Metrics.Example.org:1",
        ] {
            assert!(asked_directly(Some(host), tcp), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9100",
            "127.0.0.1.evil.example",
            "metrics.example.org.evil",
            "a b",
            "localhost.evil.example",
        ] {
            assert!(!asked_directly(Some(host), tcp), "{host}");
        }
        assert!(asked_directly(None, tcp), "HTTP/1.0, which no browser speaks");
        assert!(asked_directly(Some("evil.example"), Addr::Unix));
    }
}
