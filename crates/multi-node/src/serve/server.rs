//! What a program serves: [`http`], [`tcp`] or [`raw`], each on addresses of its own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::drain::{DrainSignal, cut};
use super::intake::Arrival;
use super::listener::{Accepts, Listener};
use super::parcel::Outlet;
use super::places::Places;
use super::socket::Addr;
use super::stream::Stream;
use crate::nodes::Handle;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Makes what serves, once it is known that this process will.
pub(super) type Factory<T> = Box<dyn FnOnce(Handle) -> BoxFuture<Result<T, BoxError>> + Send>;

/// Everything that one program serves.
///
/// Made from [`http`](super::http), [`tcp`] or [`raw`], and from several of them by `and`.
pub struct Servers(Vec<Entry>);

pub(super) struct Entry {
    /// Where it listens; `None` for the addresses of `Options`.
    pub(super) bind: Option<String>,
    pub(super) server: Box<dyn Server>,
}

/// A server that is not ready yet.
pub(super) trait Server: Send {
    /// Runs the factory.
    fn start(self: Box<Self>, handle: Handle) -> BoxFuture<Result<Box<dyn Ready>, BoxError>>;
}

/// A server that can take connections.
pub(super) trait Ready: Send {
    /// Serves until the drain begins; one that returns before has failed.
    fn run(self: Box<Self>, site: Site) -> BoxFuture<Result<(), BoxError>>;

    /// How many connections it allows; `None`: it shares what the process allows.
    fn limit(&self) -> Option<usize> {
        None
    }

    /// Whether other processes may hand connections over.
    fn takes_over(&self) -> bool {
        false
    }
}

/// What a server is given to serve.
pub(super) struct Site {
    pub(super) listener: Listener,
    pub(super) handle: Handle,
    pub(super) drain: DrainSignal,
    pub(super) places: Arc<Places>,
    pub(super) line: super::load::Line,
    /// Where its idle connections go to in a drain.
    pub(super) outlet: Option<Outlet>,
    /// Connections that other processes hand over.
    pub(super) arrivals: mpsc::Receiver<Arrival>,
}

impl Servers {
    pub(super) fn one(server: impl Server + 'static) -> Servers {
        Servers(vec![Entry { bind: None, server: Box::new(server) }])
    }

    /// Serves something else as well, on an address of its own, in any form that `Options::bind` takes.
    pub fn and(mut self, bind: impl Into<String>, server: impl Into<Servers>) -> Servers {
        let mut more = server.into().0;
        if let Some(first) = more.first_mut() {
            first.bind = Some(bind.into());
        }
        self.0.append(&mut more);
        self
    }

    /// Where each entry listens; `None` for the addresses of `Options`.
    pub(crate) fn binds(&self) -> Vec<Option<String>> {
        self.0.iter().map(|entry| entry.bind.clone()).collect()
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.0
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| &entry.bind)).finish()
    }
}

/// One accepted connection, for a [`tcp`] server.
#[derive(Debug)]
pub struct Conn {
    /// The bytes. The connection counts as open, and a drain waits for it, until this is dropped.
    pub stream: Stream,
    peer: Addr,
    local: Addr,
    handle: Handle,
    drain: DrainSignal,
}

impl Conn {
    /// The client's address.
    pub fn peer(&self) -> Addr {
        self.peer
    }

    /// The address that the client connected to.
    pub fn local(&self) -> Addr {
        self.local
    }

    /// This process.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Tells when to finish: a signal of this connection's own, as [`Handle::goodbye`] gives. At its deadline the
    /// handler's future is dropped.
    pub fn drain(&self) -> &DrainSignal {
        &self.drain
    }
}

/// Serves connections by a handler of bytes. Made by [`tcp`] and [`tcp_with`].
pub struct Tcp<F>(Factory<F>);

/// Serves each connection by a call of `handler`, in a task of its own. A panic ends that connection only.
///
/// ```ignore
/// tcp(|mut conn: Conn| async move {
///     let (mut read, mut write) = tokio::io::split(conn.stream);
///     let _ = tokio::io::copy(&mut read, &mut write).await;
/// })
/// ```
pub fn tcp<F, R>(handler: F) -> Tcp<F>
where
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Tcp(Box::new(|_| Box::pin(async { Ok(handler) })))
}

/// As [`tcp`], with a handler that is made only in processes that serve. Its error is a failed start of the node.
pub fn tcp_with<M, MR, E, F, R>(make: M) -> Tcp<F>
where
    M: FnOnce(Handle) -> MR + Send + 'static,
    MR: Future<Output = Result<F, E>> + Send + 'static,
    E: Into<BoxError>,
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Tcp(factory(make))
}

/// Serves by itself. Made by [`raw`].
pub struct Raw(Serve);

type Serve = Box<dyn FnOnce(Listener, Handle) -> BoxFuture<Result<(), BoxError>> + Send>;

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
    Raw(Box::new(|listener, handle| {
        let serving = serve(listener, handle);
        Box::pin(async { serving.await.map_err(Into::into) })
    }))
}

/// Boxes a factory and its error.
pub(super) fn factory<M, R, T, E>(make: M) -> Factory<T>
where
    M: FnOnce(Handle) -> R + Send + 'static,
    R: Future<Output = Result<T, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Box::new(|handle| {
        let made = make(handle);
        Box::pin(async { made.await.map_err(Into::into) })
    })
}

impl<F, R> Tcp<F>
where
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    /// Serves something else as well; see [`Servers::and`].
    pub fn and(self, bind: impl Into<String>, server: impl Into<Servers>) -> Servers {
        Servers::from(self).and(bind, server)
    }
}

impl Raw {
    /// Serves something else as well; see [`Servers::and`].
    pub fn and(self, bind: impl Into<String>, server: impl Into<Servers>) -> Servers {
        Servers::from(self).and(bind, server)
    }
}

impl<F, R> From<Tcp<F>> for Servers
where
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn from(tcp: Tcp<F>) -> Servers {
        Servers::one(tcp)
    }
}

impl From<Raw> for Servers {
    fn from(raw: Raw) -> Servers {
        Servers::one(raw)
    }
}

impl<F, R> Server for Tcp<F>
where
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn start(self: Box<Self>, handle: Handle) -> BoxFuture<Result<Box<dyn Ready>, BoxError>> {
        Box::pin(async { Ok(Box::new(ReadyTcp((self.0)(handle).await?)) as Box<dyn Ready>) })
    }
}

struct ReadyTcp<F>(F);

impl<F, R> Ready for ReadyTcp<F>
where
    F: Fn(Conn) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn run(self: Box<Self>, site: Site) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async move {
            let Site { listener, handle, drain, .. } = site;
            let handler = Arc::new(self.0);
            let mut accepts = Accepts::new(listener);
            while let Some((stream, peer)) = accepts.next().await {
                let Ok(local) = stream.local_addr() else { continue };
                let conn = Conn { stream, peer, local, handle: handle.clone(), drain: drain.staggered() };
                let (handler, drain) = (handler.clone(), drain.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = handler(conn) => {}
                        () = cut(drain) => {}
                    }
                });
            }
            Ok(())
        })
    }
}

impl Server for Raw {
    fn start(self: Box<Self>, _: Handle) -> BoxFuture<Result<Box<dyn Ready>, BoxError>> {
        Box::pin(async { Ok(self as Box<dyn Ready>) })
    }
}

impl Ready for Raw {
    fn run(self: Box<Self>, site: Site) -> BoxFuture<Result<(), BoxError>> {
        (self.0)(site.listener, site.handle)
    }
}

impl<F> fmt::Debug for Tcp<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").finish_non_exhaustive()
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}
