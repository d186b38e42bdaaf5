//! Serving from an event loop that is not tokio's: it takes connections as descriptors, counts them, and may pass them on.

mod handoff;

use std::fmt;
use std::future::Future;
#[cfg(multi_process)]
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc;
#[cfg(multi_process)]
use tokio::sync::watch;

pub use self::handoff::ConnHandoff;
#[cfg(multi_process)]
use super::idle_park::{IdlePark, IdleTimeout};
use super::listener::Listener;
use super::load::Line;
#[cfg(multi_process)]
use super::resting_conns::RestingConns;
use super::server::{BoxError, BoxFuture, Context as ProcessContext, Factory, Ready, Server, Servers, Site, factory};
use super::socket::Addr;
use super::stream::{Open, UnregisteredStream};
use super::terminator::Terminator;
#[cfg(multi_process)]
use super::unread_heads::UnreadHeads;

/// How many new connections in a row may have to wait for their first heads before the event loop does something else.
#[cfg(multi_process)]
const AT_ONCE: usize = 16;

/// Serves from an event loop that is not tokio's. Made by [`external`].
pub struct External<F, C> {
    make: Factory<F, C>,
    terminator: Option<Arc<Terminator>>,
    has_owners: bool,
}

/// Serves connections by an event loop of the program's own: what `make` makes is given the [`ExternalAcceptor`] once that loop can take them.
pub fn external<M, R, E, F, C>(make: M) -> External<F, C>
where
    C: ProcessContext,
    M: FnOnce(C) -> R + Send + 'static,
    R: Future<Output = Result<F, E>> + Send + 'static,
    E: Into<BoxError>,
    F: FnOnce(ExternalAcceptor) + Send + 'static,
{
    External { make: factory(make), terminator: None, has_owners: false }
}

/// Takes one server's connections for an event loop that is not tokio's, in turn with all other nodes.
///
/// It may be used on any thread, by one at a time.
pub struct ExternalAcceptor {
    listener: Listener,
    /// Connections that were handed off to this process, and whose clients have said something.
    arrivals: mpsc::Receiver<AcceptedConn>,
    handoff: ConnHandoff,
    #[cfg(multi_process)]
    idle_timeout: watch::Sender<IdleTimeout>,
    /// Where new connections wait for their first heads, if requests have owners, until the drain begins.
    #[cfg(multi_process)]
    park: Option<Arc<IdlePark>>,
    #[cfg(multi_process)]
    resting: Option<RestingConns>,
    closed: bool,
    /// Resolves when the drain begins; gone once it has.
    begun: Option<BoxFuture<()>>,
    /// Whose timers and I/O the listener uses, on whatever thread it is asked.
    runtime: tokio::runtime::Handle,
}

/// A connection as an event loop is given it.
#[derive(Debug)]
pub struct AcceptedConn {
    /// The connected socket, which does not block and is closed on exec. No one else has it.
    pub socket: OwnedFd,
    /// Its place in the counts.
    pub count: ConnGuard,
}

/// One connection that counts as open, and for which a drain waits, until this is dropped.
///
/// Those of one process are interchangeable.
#[derive(Debug)]
pub struct ConnGuard(Open);

/// Counts the requests that an event loop answers, for `Status`, metrics, `max_requests` and `canary`. All clones share the
/// counts.
///
/// The event loop may count in batches: the rules read the counts once a second.
#[derive(Clone, Debug)]
pub struct Requests(Line);

impl ExternalAcceptor {
    /// The next connection; `None` once the drain has begun and nothing more comes. If no other node serves, that also means
    /// that the sockets' queues are empty. While it is pending this process is in the sockets' queues. An offer wakes the
    /// waker, from any thread.
    pub fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<AcceptedConn>> {
        if self.closed {
            return Poll::Ready(None);
        }
        let _runtime = self.runtime.enter();
        if let Poll::Ready(Some(taken)) = self.arrivals.poll_recv(cx) {
            return Poll::Ready(Some(taken));
        }
        if let Some(begun) = &mut self.begun {
            if begun.as_mut().poll(cx).is_pending() {
                return self.poll_new(cx).map(Some);
            }
            self.begun = None;
            #[cfg(multi_process)]
            drop(self.park.take());
        }
        if let Some(accepted) = self.listener.unregistered_waiting() {
            return Poll::Ready(Some(AcceptedConn::from(accepted)));
        }
        self.arrivals.poll_recv(cx)
    }

    fn poll_new(&mut self, cx: &mut Context<'_>) -> Poll<AcceptedConn> {
        #[cfg(multi_process)]
        if let Some(park) = &self.park {
            for _ in 0..AT_ONCE {
                let (socket, open) = ready!(self.listener.poll_unregistered(cx));
                if let Some(accepted) = park.admit(socket, open) {
                    return Poll::Ready(accepted);
                }
            }
            // Others have their turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.listener.poll_unregistered(cx).map(AcceptedConn::from)
    }

    /// Lets the event loop itself wait in the sockets' queues, by its own epoll instance. So it is woken for a connection
    /// like for all other events, without a detour by a thread, and is skipped while it is busy. Call this once, before the
    /// first [`poll_take`](Self::poll_take).
    ///
    /// The loop then finds events with this token in it. It calls [`woken`](Self::woken) for each before it takes
    /// connections. Connections from elsewhere still wake the waker.
    ///
    /// # Errors
    ///
    /// The system's error if no descriptors are left.
    #[cfg(multi_process)]
    pub fn wait_in(&self, epoll: std::os::fd::BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.listener.wait_in(epoll, token)
    }

    /// The event loop that [waits itself](Self::wait_in) has found that a connection waits.
    #[cfg(multi_process)]
    pub fn woken(&self) {
        self.listener.woken();
    }

    /// Takes no more connections, unless it is [opened again](Self::reopen): leaves the sockets' queues, and other nodes hand none
    /// over. Of those that were handed off, what was not taken yet is closed. What was taken goes on.
    pub fn close(&mut self) {
        self.closed = true;
        self.listener.withdraw();
        #[cfg(multi_process)]
        self.idle_timeout.send_replace(IdleTimeout::Over);
        // What has come before this and is not taken is closed by being dropped.
        self.arrivals.close();
        while self.arrivals.try_recv().is_ok() {}
    }

    /// Takes new connections again after [`close`](Self::close), as all other nodes do. Connections that were handed off come no
    /// more.
    pub fn reopen(&mut self) {
        self.closed = false;
    }

    /// All addresses that this listens on.
    pub fn local_addrs(&self) -> &[Addr] {
        self.listener.local_addrs()
    }

    /// The connections between two requests, where requests have owners. The first call gets them.
    #[cfg(multi_process)]
    pub fn take_resting(&mut self) -> Option<RestingConns> {
        self.resting.take()
    }

    /// Where the requests on its connections are counted.
    pub fn requests(&self) -> Requests {
        Requests(self.listener.tracker.line.clone())
    }

    /// How long a connection that another process has handed off may be idle before it is closed; zero, the default: for ever. Such a
    /// connection is taken when its client has said something, and no sooner.
    pub fn set_idle_timeout(&self, time: Duration) {
        #[cfg(multi_process)]
        if !self.closed {
            self.idle_timeout.send_replace(IdleTimeout::of(time));
        }
        #[cfg(not(multi_process))]
        let _ = time;
    }

    /// The way out for this server's connections.
    pub fn handoff(&self) -> ConnHandoff {
        self.handoff.clone()
    }
}

impl From<(UnregisteredStream, Open)> for AcceptedConn {
    fn from((socket, open): (UnregisteredStream, Open)) -> AcceptedConn {
        AcceptedConn { socket: socket.into(), count: ConnGuard(open) }
    }
}

impl ConnGuard {
    #[cfg(multi_process)]
    pub(super) fn new(open: Open) -> ConnGuard {
        ConnGuard(open)
    }

    #[cfg(multi_process)]
    pub(super) fn into_open(self) -> Open {
        self.0
    }
}

impl Requests {
    /// This number of requests has begun.
    pub fn began(&self, requests: u64) {
        self.0.requests_began(requests);
    }

    /// This number of requests has ended: they were answered completely, or their clients have left. Do not count requests
    /// that are cut at the end of a drain: what has begun and not ended when the process exits counts as failed.
    pub fn ended(&self, requests: u64) {
        self.0.requests_ended(requests);
    }

    /// This number of requests has failed: the answer had a server error status (500 to 599), or the program failed to
    /// answer.
    pub fn failed(&self, requests: u64) {
        self.0.requests_failed(requests);
    }
}

impl<F: FnOnce(ExternalAcceptor) + Send + 'static, C: ProcessContext> External<F, C> {
    /// Certificates, or only keys of tickets, for the event loop's own TLS. They are read, checked and replaced as those of other servers.
    /// `handshaker` gets them before the server begins and whenever others replace them.
    #[cfg(feature = "tls")]
    pub fn certificates(
        mut self,
        certificates: multi_node_tls::Certificates,
        handshaker: impl multi_node_tls::Handshaker + 'static,
    ) -> External<F, C> {
        self.terminator = Some(Arc::new(Terminator::elsewhere(certificates, handshaker)));
        self
    }

    /// Whether its clients speak HTTP/1 without TLS, so that requests may have owners (`Options::affinity`). The first head of a connection is looked
    /// at then, for at most a second, and the connection goes to the owner of the request.
    #[must_use]
    pub fn http1(mut self, http1: bool) -> External<F, C> {
        self.has_owners = http1;
        self
    }

    /// Serves something else as well; see [`Servers::and`].
    pub fn and(self, bind: impl Into<String>, server: impl Into<Servers<C>>) -> Servers<C> {
        Servers::from(self).and(bind, server)
    }
}

impl<F: FnOnce(ExternalAcceptor) + Send + 'static, C: ProcessContext> From<External<F, C>> for Servers<C> {
    fn from(external: External<F, C>) -> Servers<C> {
        Servers::one(external)
    }
}

impl<F: FnOnce(ExternalAcceptor) + Send + 'static, C: ProcessContext> Server<C> for External<F, C> {
    fn start(self: Box<Self>, context: C) -> BoxFuture<Result<Box<dyn Ready<C>>, BoxError>> {
        Box::pin(async {
            let take = (self.make)(context).await?;
            Ok(Box::new(ReadyExternal { take, has_owners: self.has_owners }) as Box<dyn Ready<C>>)
        })
    }

    fn terminator(&self) -> Option<Arc<Terminator>> {
        self.terminator.clone()
    }
}

struct ReadyExternal<F> {
    take: F,
    has_owners: bool,
}

impl<F: FnOnce(ExternalAcceptor) + Send + 'static, C: ProcessContext> Ready<C> for ReadyExternal<F> {
    fn run(self: Box<Self>, site: Site<C>) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async move {
            let Site { listener, drain, handoff_sender, owners, arrivals, .. } = site;
            let owners = owners.filter(|_| self.has_owners);
            let runtime = tokio::runtime::Handle::current();
            let signal = drain.clone();
            let begun: BoxFuture<()> = Box::pin(async move { signal.draining().await });
            let handoff = ConnHandoff::new(handoff_sender, drain.clone());
            #[cfg(multi_process)]
            let (idle_timeout, patience_told) = watch::channel(IdleTimeout::Endless);
            #[cfg(multi_process)]
            let looks = owners.is_some();
            #[cfg(multi_process)]
            let heads = owners.map(UnreadHeads::new).map(Arc::new);
            #[cfg(multi_process)]
            let resting = heads.clone().map(RestingConns::new).transpose()?;
            #[cfg(multi_process)]
            let (park, arrivals) = IdlePark::open(arrivals, handoff.clone(), drain.clone(), patience_told, heads);
            #[cfg(not(multi_process))]
            let arrivals = nothing(arrivals, owners);
            (self.take)(ExternalAcceptor {
                listener,
                arrivals,
                handoff,
                #[cfg(multi_process)]
                idle_timeout,
                #[cfg(multi_process)]
                park: Some(park).filter(|_| looks),
                #[cfg(multi_process)]
                resting,
                closed: false,
                begun: Some(begun),
                runtime,
            });
            drain.draining().await;
            Ok(())
        })
    }

    fn takes_over(&self) -> bool {
        true
    }
}

/// Where there is one process, nothing arrives.
#[cfg(not(multi_process))]
fn nothing<A, O>(_: A, _: O) -> mpsc::Receiver<AcceptedConn> {
    mpsc::channel(1).1
}

impl<F, C> fmt::Debug for External<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External").finish_non_exhaustive()
    }
}

impl fmt::Debug for ExternalAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAcceptor").field("listener", &self.listener).finish_non_exhaustive()
    }
}

#[cfg(all(test, multi_process))]
#[path = "external_tests.rs"]
mod tests;
