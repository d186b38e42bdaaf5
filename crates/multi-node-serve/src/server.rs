//! What a program serves: [`http`], [`tcp`] or [`raw`], each on addresses of its own.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

pub(super) use super::boxed::{BoxError, BoxFuture};
use super::conn_limit::ConnLimit;
use super::drain::{DrainSignal, aborted};
use super::handoff_receiver::ReceivedConn;
use super::idle_conn::HandoffSender;
use super::listener::{Accepts, Listener};
use super::owners::Owners;
use super::socket::Addr;
use super::stream::Stream;
use super::terminator::Terminator;
use super::tls::Handshakes;

/// Makes what serves, once it is known that this process will.
pub(super) type Factory<T, C> = Box<dyn FnOnce(C) -> BoxFuture<Result<T, BoxError>> + Send>;

/// What a program gives to everything that it serves by: to factories, to connections, and to requests as an extension.
pub trait Context: Clone + Send + Sync + 'static {}

impl<C: Clone + Send + Sync + 'static> Context for C {}

/// The context of tests.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct Here;

/// Everything that one program serves.
///
/// Made from [`http`](super::http), [`tcp`] or [`raw`], and from several of them by `and`.
pub struct Servers<C>(Vec<Entry<C>>);

pub(super) struct Entry<C> {
    /// Where it listens; `None` for the addresses of `Options`.
    pub(super) bind: Option<String>,
    pub(super) server: Box<dyn Server<C>>,
}

/// A server that is not ready yet.
pub(super) trait Server<C>: Send {
    /// Runs the factory.
    fn start(self: Box<Self>, context: C) -> BoxFuture<Result<Box<dyn Ready<C>>, BoxError>>;

    /// What its handshakes go by, where it serves by TLS.
    fn terminator(&self) -> Option<Arc<Terminator>> {
        None
    }
}

/// A server that can take connections.
pub(super) trait Ready<C>: Send {
    /// Serves until the drain begins; one that returns before has failed.
    fn run(self: Box<Self>, site: Site<C>) -> BoxFuture<Result<(), BoxError>>;

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
pub(super) struct Site<C> {
    pub(super) listener: Listener,
    pub(super) context: C,
    pub(super) drain: DrainSignal,
    pub(super) conn_limit: Arc<ConnLimit>,
    pub(super) line: super::load::Line,
    /// Where its idle connections go to in a drain.
    pub(super) handoff_sender: Option<HandoffSender>,
    /// Where each process answers requests of its own keys.
    pub(super) owners: Option<Owners>,
    /// Connections that other processes hand off.
    pub(super) arrivals: mpsc::Receiver<ReceivedConn>,
}

impl<C: Context> Servers<C> {
    pub(super) fn one(server: impl Server<C> + 'static) -> Servers<C> {
        Servers(vec![Entry { bind: None, server: Box::new(server) }])
    }

    /// Serves something else as well, on an address of its own, in any form that `Options::bind` takes.
    pub fn and(mut self, bind: impl Into<String>, server: impl Into<Servers<C>>) -> Servers<C> {
        let mut more = server.into().0;
        if let Some(first) = more.first_mut() {
            first.bind = Some(bind.into());
        }
        self.0.append(&mut more);
        self
    }

    /// Where each entry listens; `None` for the addresses of `Options`.
    #[doc(hidden)]
    pub fn binds(&self) -> Vec<Option<String>> {
        self.0.iter().map(|entry| entry.bind.clone()).collect()
    }

    /// For each entry what its handshakes go by; `None` where it serves without TLS. They are empty and get
    /// certificates before the servers start.
    #[doc(hidden)]
    pub fn terminators(&self) -> Vec<Option<Arc<Terminator>>> {
        self.0.iter().map(|entry| entry.server.terminator()).collect()
    }

    pub(super) fn into_entries(self) -> Vec<Entry<C>> {
        self.0
    }
}

impl<C> fmt::Debug for Servers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| &entry.bind)).finish()
    }
}

/// One accepted connection, for a [`tcp`] server.
#[derive(Debug)]
pub struct Conn<C> {
    /// The bytes. The connection counts as open, and a drain waits for it, until this is dropped.
    pub stream: Stream,
    peer: Addr,
    local: Addr,
    context: C,
    drain: DrainSignal,
}

impl<C> Conn<C> {
    /// The client's address.
    pub fn peer(&self) -> Addr {
        self.peer
    }

    /// The address that the client connected to.
    pub fn local(&self) -> Addr {
        self.local
    }

    /// This process.
    pub fn handle(&self) -> &C {
        &self.context
    }

    /// Resolves when the connection has to finish, at a staggered time. At its deadline the handler's future is dropped.
    pub fn drain(&self) -> &DrainSignal {
        &self.drain
    }
}

/// Serves connections by a handler of bytes. Made by [`tcp`] and [`tcp_with`].
pub struct Tcp<F, C> {
    make: Factory<F, C>,
    tls: Option<Arc<Terminator>>,
}

/// Serves each connection by a call of `handler`, in a task of its own.
pub fn tcp<F, R, C>(handler: F) -> Tcp<F, C>
where
    C: Context,
    F: Fn(Conn<C>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Tcp { make: Box::new(|_| Box::pin(async { Ok(handler) })), tls: None }
}

/// As [`tcp`], with a handler that is made only in processes that serve. Its error is a failed start of the node.
pub fn tcp_with<M, MR, E, F, R, C>(make: M) -> Tcp<F, C>
where
    C: Context,
    M: FnOnce(C) -> MR + Send + 'static,
    MR: Future<Output = Result<F, E>> + Send + 'static,
    E: Into<BoxError>,
    F: Fn(Conn<C>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Tcp { make: factory(make), tls: None }
}

/// A server that accepts connections itself. Made by [`raw`].
pub struct Raw<C>(Serve<C>);

type Serve<C> = Box<dyn FnOnce(Listener, C) -> BoxFuture<Result<(), BoxError>> + Send>;

/// Serves by a future that accepts connections itself, and ends when it has finished after [`Listener::draining`].
pub fn raw<F, R, E, C>(serve: F) -> Raw<C>
where
    C: Context,
    F: FnOnce(Listener, C) -> R + Send + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    Raw(Box::new(|listener, context| {
        let serving = serve(listener, context);
        Box::pin(async { serving.await.map_err(Into::into) })
    }))
}

/// Boxes a factory and its error.
pub(super) fn factory<M, R, T, E, C>(make: M) -> Factory<T, C>
where
    M: FnOnce(C) -> R + Send + 'static,
    R: Future<Output = Result<T, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Box::new(|context| {
        let made = make(context);
        Box::pin(async { made.await.map_err(Into::into) })
    })
}

impl<F, R, C> Tcp<F, C>
where
    C: Context,
    F: Fn(Conn<C>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    /// Serves by TLS. The handler gets connections whose handshake is done. To end one in good order, shut its stream down: that
    /// sends `close_notify`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, certificates: multi_node_tls::Certificates) -> Self {
        self.tls = Some(Arc::new(Terminator::raw(certificates)));
        self
    }

    /// Serves something else as well; see [`Servers::and`].
    pub fn and(self, bind: impl Into<String>, server: impl Into<Servers<C>>) -> Servers<C> {
        Servers::from(self).and(bind, server)
    }
}

impl<C: Context> Raw<C> {
    /// Serves something else as well; see [`Servers::and`].
    pub fn and(self, bind: impl Into<String>, server: impl Into<Servers<C>>) -> Servers<C> {
        Servers::from(self).and(bind, server)
    }
}

impl<F, R, C> From<Tcp<F, C>> for Servers<C>
where
    C: Context,
    F: Fn(Conn<C>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn from(tcp: Tcp<F, C>) -> Servers<C> {
        Servers::one(tcp)
    }
}

impl<C: Context> From<Raw<C>> for Servers<C> {
    fn from(raw: Raw<C>) -> Servers<C> {
        Servers::one(raw)
    }
}

impl<F, R, C> Server<C> for Tcp<F, C>
where
    C: Context,
    F: Fn(Conn<C>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn start(self: Box<Self>, context: C) -> BoxFuture<Result<Box<dyn Ready<C>>, BoxError>> {
        Box::pin(async {
            let Tcp { make, tls } = *self;
            let handler = make(context).await?;
            let handshakes = tls.map(Handshakes::new).transpose()?;
            Ok(Box::new(ReadyTcp { handler, handshakes }) as Box<dyn Ready<C>>)
        })
    }

    fn terminator(&self) -> Option<Arc<Terminator>> {
        self.tls.clone()
    }
}

struct ReadyTcp<F> {
    handler: F,
    handshakes: Option<Handshakes>,
}

impl<F, R, C> Ready<C> for ReadyTcp<F>
where
    C: Context,
    F: Fn(Conn<C>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn run(self: Box<Self>, site: Site<C>) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async move {
            let Site { listener, context, drain, .. } = site;
            let server = Arc::new(*self);
            let mut accepts = Accepts::new(listener);
            while let Some((stream, peer)) = accepts.next().await {
                let Ok(local) = stream.local_addr() else { continue };
                let (server, context, drain) = (server.clone(), context.clone(), drain.clone());
                tokio::spawn(async move {
                    let stream = match &server.handshakes {
                        Some(handshakes) => handshakes.secure(stream, Bytes::new(), &drain).await,
                        None => Some(stream),
                    };
                    let Some(stream) = stream else { return };
                    let conn = Conn { stream, peer, local, context, drain: drain.staggered() };
                    tokio::select! {
                        () = (server.handler)(conn) => {}
                        () = aborted(drain) => {}
                    }
                });
            }
            Ok(())
        })
    }
}

impl<C: Context> Server<C> for Raw<C> {
    fn start(self: Box<Self>, _: C) -> BoxFuture<Result<Box<dyn Ready<C>>, BoxError>> {
        Box::pin(async { Ok(self as Box<dyn Ready<C>>) })
    }
}

impl<C: Context> Ready<C> for Raw<C> {
    fn run(self: Box<Self>, site: Site<C>) -> BoxFuture<Result<(), BoxError>> {
        (self.0)(site.listener, site.context)
    }
}

impl<F, C> fmt::Debug for Tcp<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Raw<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}
