//! What a program serves by: the servers of `serve`, which are given the program's [`Handle`].

use std::future::Future;

use crate::Handle;
#[cfg(unix)]
use crate::serve::ExternalAcceptor;
use crate::serve::{self, BoxError, Listener};

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
#[cfg(unix)]
pub type External<F> = serve::External<F, Handle>;

/// One accepted connection, for a [`tcp`] server.
pub type Conn = serve::Conn<Handle>;

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) by a tower service, such as an axum `Router`.
///
/// Each request carries as extensions the [`Handle`] of this process, a [`ConnInfo`](crate::ConnInfo) and, with the feature
/// `axum` and for clients over TCP, axum's `ConnectInfo<SocketAddr>`. A panic ends that connection (HTTP/2: that stream) only.
#[cfg(feature = "http")]
pub fn http<S: Send + 'static>(service: S) -> Http<S> {
    serve::http(service)
}

/// As [`http()`], with a service that is made only in processes that serve. An error of `make` is a failed start of the node.
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
#[cfg(unix)]
pub fn external<M, R, E, F>(make: M) -> External<F>
where
    M: FnOnce(Handle) -> R + Send + 'static,
    R: Future<Output = Result<F, E>> + Send + 'static,
    E: Into<BoxError>,
    F: FnOnce(ExternalAcceptor) + Send + 'static,
{
    serve::external(make)
}
