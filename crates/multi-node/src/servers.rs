//! What a program serves by: HTTP, bytes, or a server that accepts connections itself; several at once, each with an address of its own.
//!
//! ```no_run
//! use axum::Router;
//! use multi_node::servers::Servers;
//! use multi_node::{Conn, http, tcp};
//!
//! fn servers(site: Router, admin: Router) -> Servers {
//!     http(site).and("127.0.0.1:9090", http(admin)).and("unix:/run/echo.sock", tcp(echo))
//! }
//!
//! async fn echo(connection: Conn) {
//!     let (mut reader, mut writer) = tokio::io::split(connection.stream);
//!     let _ = tokio::io::copy(&mut reader, &mut writer).await; // an error means that the client has gone
//! }
//! ```

use std::future::Future;

use crate::Handle;
#[cfg(all(unix, feature = "embed"))]
use crate::serve::ExternalAcceptor;
use crate::serve::{self, BoxError, Listener};
#[doc(inline)]
pub use crate::serve::{Addr, ConnInfo, DrainSignal, Stream};
#[cfg(feature = "http")]
#[doc(inline)]
pub use crate::serve::{Http2Executor, HttpBuilder, RequestBody, RequestBodyError};

/// Everything that one program serves.
///
/// Made from [`http()`], [`tcp`] or [`raw`], and from several of them by `and`.
pub type Servers = serve::Servers<Handle>;

/// Serves HTTP by a tower service. Made by [`http()`] and [`http_with`].
#[cfg(feature = "http")]
pub type Http<S> = serve::Http<S, Handle>;

/// Serves connections by a handler of bytes. Made by [`tcp`] and [`tcp_with`].
pub type Tcp<F> = serve::Tcp<F, Handle>;

/// A server that accepts connections itself. Made by [`raw`].
pub type Raw = serve::Raw<Handle>;

/// Serves from an event loop that is not tokio's. Made by [`external`].
#[cfg(all(unix, feature = "embed"))]
pub type External<F> = serve::External<F, Handle>;

/// One accepted connection, for a [`tcp`] server.
///
/// ```
/// use multi_node::Conn;
/// use tokio::io::AsyncWriteExt;
///
/// async fn greet(mut connection: Conn) {
///     let greeting = format!("hello {}\n", connection.peer());
///     let _ = connection.stream.write_all(greeting.as_bytes()).await; // an error means that the client has gone
/// }
/// # let _ = multi_node::tcp(greet);
/// ```
pub type Conn = serve::Conn<Handle>;

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) by a tower service, such as an axum `Router`.
///
/// ```no_run
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use multi_node::{Error, Options, http, listen};
///
/// # async fn f() -> Result<(), Error> {
/// let app = Router::new().route("/", get(async || "hello"));
/// let server = http(app).keep_alive_timeout(Duration::from_secs(120)).max_connections(10_000);
/// listen(Options::new().port(8080), server).await?.closed().await
/// # }
/// ```
///
/// Each request carries as extensions the [`Handle`] of this process, a [`ConnInfo`] and, with the feature
/// `axum` and for clients over TCP, axum's `ConnectInfo<SocketAddr>`. A panic ends that connection (HTTP/2: that stream) only.
#[cfg(feature = "http")]
pub fn http<S: Send + 'static>(service: S) -> Http<S> {
    serve::http(service)
}

/// As [`http()`], with a service that is made only in processes that serve. An error of `make` is a failed start of the node.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use multi_node::{BoxError, Error, Handle, Options, http_with, listen};
///
/// # struct Pool; impl Pool { async fn open(_: usize) -> Result<Pool, BoxError> { Ok(Pool) } async fn ask(&self) -> String { String::new() } }
/// async fn app(node: Handle) -> Result<Router, BoxError> {
///     let pool: &'static Pool = Box::leak(Box::new(Pool::open(node.share_of(45)).await?));
///     Ok(Router::new().route("/", get(async || pool.ask().await)))
/// }
///
/// # async fn f() -> Result<(), Error> {
/// listen(Options::new().port(8080), http_with(app)).await?.closed().await
/// # }
/// ```
#[cfg(feature = "http")]
pub fn http_with<M, R, S, E>(make: M) -> Http<S>
where
    M: FnOnce(Handle) -> R + Send + 'static,
    R: Future<Output = Result<S, E>> + Send + 'static,
    E: Into<BoxError>,
{
    serve::http_with(make)
}

/// Serves each connection by a call of `handler`, in a task of its own. A panic ends that connection only.
///
/// ```
/// use multi_node::{Conn, tcp};
///
/// let echo = tcp(|conn: Conn| async move {
///     let (mut read, mut write) = tokio::io::split(conn.stream);
///     let _ = tokio::io::copy(&mut read, &mut write).await;
/// });
/// ```
pub fn tcp<F, R>(handler: F) -> Tcp<F>
where
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    serve::tcp(handler)
}

/// As [`tcp`], with a handler that is made only in processes that serve. An error of `make` is a failed start of the node.
///
/// ```
/// use multi_node::{BoxError, Conn, Handle, tcp_with};
/// use tokio::io::AsyncWriteExt;
///
/// let server = tcp_with(async |node: Handle| {
///     let greeting = format!("hello from {}\n", node.id());
///     Ok::<_, BoxError>(move |mut connection: Conn| {
///         let greeting = greeting.clone();
///         async move {
///             let _ = connection.stream.write_all(greeting.as_bytes()).await;
///         }
///     })
/// });
/// # let _ = server;
/// ```
pub fn tcp_with<M, MR, E, F, R>(make: M) -> Tcp<F>
where
    M: FnOnce(Handle) -> MR + Send + 'static,
    MR: Future<Output = Result<F, E>> + Send + 'static,
    E: Into<BoxError>,
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    serve::tcp_with(make)
}

/// Serves by a future that accepts connections itself, for servers that have a loop of their own.
///
/// ```no_run
/// use axum::Router;
/// use multi_node::{Error, Handle, Listener, Options, listen, raw};
///
/// async fn serve(listener: Listener, node: Handle) -> std::io::Result<()> {
///     let drain = async move { node.draining().await };
///     axum::serve(listener, Router::new()).with_graceful_shutdown(drain).await
/// }
///
/// # async fn f() -> Result<(), Error> {
/// listen(Options::new().port(8080), raw(serve)).await?.closed().await
/// # }
/// ```
///
/// It runs in each process that serves, and ends when it has finished after [`Listener::draining`]. If it ends before, with an
/// error or without, the node has failed.
pub fn raw<F, R, E>(serve: F) -> Raw
where
    F: FnOnce(Listener, Handle) -> R + Send + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    serve::raw(serve)
}

/// Serves connections by an event loop of the program's own, such as that of a language runtime.
///
/// `make` is called in processes that serve only, and resolves when that loop can take connections: the node is ready then.
/// What it makes is called once, with the [`ExternalAcceptor`] of this server's connections. An error is a failed start of the node.
///
/// To take connections is that loop's part: a process whose loop is busy for more than 5 ms while one is offered leaves it to
/// another.
#[cfg(all(unix, feature = "embed"))]
pub fn external<M, R, E, F>(make: M) -> External<F>
where
    M: FnOnce(Handle) -> R + Send + 'static,
    R: Future<Output = Result<F, E>> + Send + 'static,
    E: Into<BoxError>,
    F: FnOnce(ExternalAcceptor) + Send + 'static,
{
    serve::external(make)
}
