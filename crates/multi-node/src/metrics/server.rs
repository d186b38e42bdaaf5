//! The HTTP server of the master's own address: requests to pages.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tower_service::Service;

use super::collector::{Collector, Told};
use super::exposition;
use super::series::{GaugeRule, Series};
use crate::admin::{Instance, Observer};
use crate::id::NodeId;
use crate::options::{Address, Settings};
use crate::serve::{self, Drain, LoadTable, Place, Serving, Socket};
use crate::{Error, State, bind};

/// How many connections are open at once; more wait.
const MOST_CONNECTIONS: usize = 64;

/// How long the head of a request may take, and how long a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long answers may take at the end.
const GOODBYE: Duration = Duration::from_millis(500);

/// An address that is bound and not served.
#[derive(Debug)]
pub(crate) struct Bound {
    address: Address,
    sockets: Vec<Socket>,
    told: (Told, mpsc::Receiver<(NodeId, Vec<Series>)>),
    rules: Vec<(String, GaugeRule)>,
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
        let bound = bind::bind(&[vec![address.clone()]], settings).await?;
        let sockets = bound.into_iter().flatten().collect();
        Ok(Some(Bound { address, sockets, told: Told::channel(), rules: settings.metering.gauges.clone() }))
    }
}

impl Bound {
    /// Where what nodes tell is taken in.
    pub(crate) fn told(&self) -> Told {
        self.told.0.clone()
    }

    /// Answers from now on.
    pub(crate) async fn serve(self, observer: Observer) -> Result<MetricsServer, Error> {
        let Bound { address, sockets, told: (_, told), rules } = self;
        for addr in sockets.iter().filter_map(|socket| socket.local_addr().ok()) {
            crate::log::info!(target: "multi_node", "metrics are served on {addr}");
        }
        let (drain, draining) = Drain::new();
        let handle = observer.handle.clone();
        let pages = Pages { collector: Collector::start(observer.clone(), told, rules), observer };
        let server = serve::http(pages)
            .max_connections(MOST_CONNECTIONS)
            .header_timeout(HEADER_TIMEOUT)
            .keep_alive_timeout(KEEP_ALIVE);
        // It counts for itself: what asks for metrics is no request to the program.
        let place = Place { load: LoadTable::local(), line: 0, bell: None, outlet: None };
        let serving = serve::start(server.into(), vec![sockets], place, handle, draining).await;
        let serving = serving.map_err(|error| Error::Start { cause: error.to_string() })?;
        Ok(MetricsServer { address, drain, serving })
    }
}

impl MetricsServer {
    /// Finishes what is being answered, and frees the address.
    pub(crate) async fn close(mut self) {
        self.drain.begin(GOODBYE);
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
}

impl Service<Request<Incoming>> for Pages {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let pages = self.clone();
        Box::pin(async move {
            let reads = matches!(*request.method(), Method::GET | Method::HEAD);
            Ok(if reads { pages.page(request.uri().path()).await } else { not_allowed() })
        })
    }
}

impl Pages {
    async fn page(&self, path: &str) -> Response<String> {
        match path {
            "/metrics" => match self.collector.page().await {
                Some(page) => answer(StatusCode::OK, exposition::CONTENT_TYPE, page),
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
