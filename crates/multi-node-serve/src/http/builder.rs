//! What can be set about an HTTP server, and its accept loop.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Extensions, Request, Response};
use hyper::body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::sync::{Semaphore, mpsc};
use tower_service::Service;

use super::body::RequestBody;
use super::conn::{Connection, Origin};
use super::shared::{Settings, Shared};
use super::streams::Http2Executor;
use crate::crowd::Crowd;
use crate::handoff_receiver::ReceivedConn;
use crate::idle_conn::Opened;
use crate::listener::Accepts;
use crate::server::{BoxError, BoxFuture, Context, Factory, Ready, Server, Servers, Site, factory};
use crate::terminator::Terminator;
use crate::tls::Handshakes;
use crate::{Addr, Stream};

/// Serves HTTP by a tower service. Made by [`http()`] and [`http_with`].
pub struct Http<S, C> {
    make: Factory<S, C>,
    settings: Settings,
    builder: HttpBuilder,
    tls: Option<Arc<Terminator>>,
}

/// hyper's own settings, which [`Http::configure`] hands out.
///
/// multi-node sets the timers of both; hyper's `header_read_timeout` is off, since [`Http::header_timeout`] replaces it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpBuilder {
    /// For HTTP/1.1 connections.
    pub http1: http1::Builder,
    /// For HTTP/2 connections.
    pub http2: http2::Builder<Http2Executor>,
}

/// How many bytes a head may have where nothing else is set.
const HEADER_LIMIT: usize = 64 * 1024;

/// hyper's own least buffer.
const LEAST_BUFFER: usize = 8 * 1024;

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) by a tower service, such as an axum `Router`.
///
/// Each request carries as extensions the context of this process, a [`ConnInfo`](crate::ConnInfo) and, with the feature
/// `axum` and for clients over TCP, axum's `ConnectInfo<SocketAddr>`. A panic ends that connection (HTTP/2: that stream) only.
pub fn http<S, C>(service: S) -> Http<S, C>
where
    C: Context,
    S: Send + 'static,
{
    Http::new(Box::new(|_| Box::pin(async { Ok(service) })))
}

/// As [`http()`], with a service that is made only in processes that serve. An error of `make` is a failed start of the node.
pub fn http_with<M, R, S, E, C>(make: M) -> Http<S, C>
where
    C: Context,
    M: FnOnce(C) -> R + Send + 'static,
    R: Future<Output = Result<S, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Http::new(factory(make))
}

impl<S, C> Http<S, C> {
    fn new(make: Factory<S, C>) -> Http<S, C> {
        let settings = Settings {
            max_connections: None,
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            half_close_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            proxy_protocol: false,
            handoff: true,
            idlest_leaves: false,
        };
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(None).half_close(true);
        let mut http2 = http2::Builder::new(Http2Executor);
        http2.timer(TokioTimer::new());
        Http { make, settings, builder: HttpBuilder { http1, http2 }, tls: None }.header_limit(HEADER_LIMIT)
    }

    /// The maximum of open connections in each process. Further ones wait in the listening socket's queue, where other
    /// processes may take them. 0 counts as 1. The default is the soft limit of open files (`RLIMIT_NOFILE`), less the
    /// streams to other processes, less a tenth. Servers without a limit of their own share it.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.settings.max_connections = Some(count.clamp(1, Semaphore::MAX_PERMITS));
        self
    }

    /// How many bytes the head of a request may have; 64 KiB by default. A longer one is answered with 431, and with HTTP/1 the
    /// connection is closed then. So much of an upload is read at once, too.
    pub fn header_limit(mut self, bytes: usize) -> Self {
        let HttpBuilder { http1, http2 } = &mut self.builder;
        http1.max_header_size(bytes).max_buf_size(bytes.max(LEAST_BUFFER));
        http2.max_header_list_size(u32::try_from(bytes).unwrap_or(u32::MAX));
        self
    }

    /// How long a request's head may take from its first byte on; 30 s by default. The connection is closed then.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.settings.header_timeout = timeout;
        self
    }

    /// How long a connection may be idle before its first request and between two; 75 s by default, which is longer than
    /// load balancers keep theirs, so that they do not send into a connection that is being closed.
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.settings.keep_alive_timeout = timeout;
        self
    }

    /// How long a client that has shut down its writing side waits for its answer; 60 s by default. Such a client may have closed
    /// the connection: that looks the same until something is written to it. Each byte of an answer begins the time anew. When it
    /// is over, the connection is closed and the service's future is dropped. With `Duration::ZERO` the service is given up at once,
    /// and such a client gets no answer. HTTP/1 only.
    pub fn half_close_timeout(mut self, timeout: Duration) -> Self {
        self.settings.half_close_timeout = timeout;
        self
    }

    /// How long a service that reads the body of a request waits for its next bytes; 60 s by default. Then reading it fails with
    /// [`RequestBodyError::TimedOut`](super::RequestBodyError::TimedOut), which axum's extractors answer with 400. Once the service has answered, its time is not limited:
    /// the two sides may talk to each other as slowly as they like.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.settings.body_timeout = timeout;
        self
    }

    /// How long bytes of an answer may wait while the client takes none; 60 s by default. After that the connection is
    /// closed. With HTTP/2, where one request's answer waits for the client's flow control, only that request is reset. An
    /// answer that has nothing to write, such as a silent event stream, does not wait. Neither does a connection after an
    /// upgrade.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.settings.write_timeout = timeout;
        self
    }

    /// Whether every connection begins with a header of the PROXY protocol (version 1 or 2). The client's address then comes
    /// from that header. A connection that begins otherwise is closed. Off by default. Turn it on only if the proxy alone can
    /// connect: any other client could claim any address.
    pub fn proxy_protocol(mut self, on: bool) -> Self {
        self.settings.proxy_protocol = on;
        self
    }

    /// Whether idle HTTP/1 connections are handed off to another process when this one drains, and taken over from others; on
    /// by default. Clients notice nothing: the other process answers the next request. Without it, or if no process takes
    /// them, as in a shutdown, such connections are closed, and a client that sends a request at that moment loses it.
    ///
    /// Turn it off if the service keeps state of a connection between requests, such as an NTLM login.
    pub fn handoff(mut self, on: bool) -> Self {
        self.settings.handoff = on;
        self
    }

    /// Lets new connections in beyond `max_connections`: the one that has been idle for the longest makes room.
    #[doc(hidden)]
    pub fn idlest_leaves(mut self) -> Self {
        self.settings.idlest_leaves = true;
        self
    }

    /// Serves by TLS alone: HTTP/2 or HTTP/1.1, as the client chooses in the handshake. The same is served without TLS by another
    /// entry ([`Servers::and`]).
    ///
    /// All nodes seal session tickets by the same keys, which the master makes and renews every 12 hours. So a client that returns
    /// resumes its session at whichever node it reaches, over reloads too.
    ///
    /// A connection with TLS is not handed off in a drain, since its keys are those of one process. In a reload an idle HTTP/1
    /// connection is kept until the client's next request, which is answered with `Connection: close`, until its
    /// [`keep_alive_timeout`](Http::keep_alive_timeout), or until shortly before the end of the drain. HTTP/2 clients get GOAWAY.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, certificates: multi_node_tls::Certificates) -> Self {
        self.tls = Some(Arc::new(Terminator::http(certificates)));
        self
    }

    /// Changes hyper's own settings. `http1.writev(false)` saves 6 % of the instructions of a request with a small answer. Of a large one
    /// it makes a copy more, whose memory the connection keeps.
    pub fn configure(mut self, change: impl FnOnce(&mut HttpBuilder)) -> Self {
        change(&mut self.builder);
        self
    }
}

impl<S, B, C> Http<S, C>
where
    C: Context,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Serves something else as well; see [`Servers::and`].
    pub fn and(self, bind: impl Into<String>, server: impl Into<Servers<C>>) -> Servers<C> {
        Servers::from(self).and(bind, server)
    }
}

impl<S, B, C> From<Http<S, C>> for Servers<C>
where
    C: Context,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn from(http: Http<S, C>) -> Servers<C> {
        Servers::one(http)
    }
}

impl<S, B, C> Server<C> for Http<S, C>
where
    C: Context,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn start(self: Box<Self>, context: C) -> BoxFuture<Result<Box<dyn Ready<C>>, BoxError>> {
        Box::pin(async {
            let service = (self.make)(context).await?;
            let Http { settings, builder, tls, .. } = *self;
            let handshakes = tls.map(Handshakes::new).transpose()?;
            Ok(Box::new(ReadyHttp { service, settings, builder, handshakes }) as Box<dyn Ready<C>>)
        })
    }

    fn terminator(&self) -> Option<Arc<Terminator>> {
        self.tls.clone()
    }
}

struct ReadyHttp<S> {
    service: S,
    settings: Settings,
    builder: HttpBuilder,
    handshakes: Option<Handshakes>,
}

impl<S, B, C> Ready<C> for ReadyHttp<S>
where
    C: Context,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn run(self: Box<Self>, site: Site<C>) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async move {
            let Site { listener, context, drain, conn_limit, line, handoff_sender, owners, mut arrivals } = site;
            let ReadyHttp { service, settings, builder, handshakes } = *self;
            #[cfg(multi_process)]
            listener.set_nodelay()?;
            let moves = settings.handoff && handshakes.is_none();
            let (handoff_sender, owners) = (handoff_sender.filter(|_| moves), owners.filter(|_| moves));
            let tracker = listener.tracker.clone();
            let mut extensions = Extensions::new();
            extensions.insert(context);
            let crowd = settings.max_connections.filter(|_| settings.idlest_leaves).map(Crowd::new);
            let shared = Arc::new(Shared {
                settings,
                builder,
                extensions,
                drain,
                line,
                handoff_sender,
                owners,
                handshakes,
                tracker,
                crowd,
            });
            let mut accepts = Accepts::new(listener);
            loop {
                let accepted = pin!(conn_limit.accept(&mut accepts));
                let (stream, origin) = match next(&mut arrivals, accepted).await {
                    Next::Arrived(arrival) => match handed_off(arrival) {
                        Some(connection) => connection,
                        None => continue,
                    },
                    Next::Accepted(Some((stream, peer))) => (stream, Origin::Accepted { peer }),
                    Next::Accepted(None) => break,
                };
                // Elsewhere it is inherited from the listening socket.
                #[cfg(not(multi_process))]
                if let Some(tcp) = stream.as_tcp() {
                    let _ = tcp.set_nodelay(true);
                }
                serve(Connection::new(stream, origin, shared.clone(), service.clone()));
            }
            // What was promised to be taken is taken.
            arrivals.close();
            while let Some(arrival) = arrivals.recv().await {
                if let Some((stream, origin)) = handed_off(arrival) {
                    serve(Connection::new(stream, origin, shared.clone(), service.clone()));
                }
            }
            Ok(())
        })
    }

    fn limit(&self) -> Option<usize> {
        // The crowd has a limit that does not make connections wait.
        let waits = |most: usize| if self.settings.idlest_leaves { Semaphore::MAX_PERMITS } else { most };
        self.settings.max_connections.map(waits)
    }

    fn takes_over(&self) -> bool {
        self.settings.handoff && self.handshakes.is_none()
    }
}

/// A connection, or the end of accepting.
enum Next {
    Arrived(ReceivedConn),
    Accepted(Option<(Stream, Addr)>),
}

/// The next connection; those of other processes come first. Registers for these only when it has none to accept, since that costs
/// more than a look.
async fn next(
    arrivals: &mut mpsc::Receiver<ReceivedConn>,
    mut accepted: Pin<&mut impl Future<Output = Option<(Stream, Addr)>>>,
) -> Next {
    poll_fn(|cx| {
        let empty = arrivals.is_empty();
        if empty && let Poll::Ready(accepted) = accepted.as_mut().poll(cx) {
            return Poll::Ready(Next::Accepted(accepted));
        }
        match arrivals.poll_recv(cx) {
            Poll::Ready(Some(arrival)) => Poll::Ready(Next::Arrived(arrival)),
            _ if empty => Poll::Pending,
            _ => accepted.as_mut().poll(cx).map(Next::Accepted),
        }
    })
    .await
}

/// Serves a connection in a task of its own. Its future is in a box, since tokio moves what it is given several times, also when it
/// has ended.
fn serve<S, B>(connection: Option<Connection<S>>)
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let Some(connection) = connection else { return };
    match connection.join() {
        None => drop(tokio::spawn(Box::pin(connection.serve()))),
        Some(membership) => drop(tokio::spawn(Box::pin(connection.serve_as(membership)))),
    }
}

/// Lets this process's runtime watch a connection that was handed off.
fn handed_off(arrival: ReceivedConn) -> Option<(Stream, Origin)> {
    match arrival.open() {
        Ok(Opened { stream, before, info, for_request }) => {
            Some((stream, Origin::HandedOver { before, info, for_request }))
        }
        Err(error) => {
            multi_node_sys::log::warn!(%error, "cannot serve a connection that was handed off");
            None
        }
    }
}

impl<S, C> fmt::Debug for Http<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("settings", &self.settings).field("builder", &self.builder).finish_non_exhaustive()
    }
}
