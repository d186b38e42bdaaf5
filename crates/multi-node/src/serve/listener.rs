//! Accepting, in whichever way the process does it, and what happens when that fails.

mod waiting;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::drain::{DrainSignal, Watch};
use super::socket::{Addr, Socket};
use super::stream::{Doors, Stream, Transport};
#[cfg(unix)]
use super::stream::{Loose, Open};

/// How long to rest when connections cannot be accepted for want of files or memory, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The addresses of one server, from which it accepts connections in turn with all other nodes.
///
/// Every connection that comes from here counts as open until its [`Stream`] is dropped, and a drain waits for it.
pub struct Listener {
    sources: Vec<Source>,
    /// The source that is asked first, so that a busy one does not starve the others.
    first: usize,
    local: Vec<Addr>,
    pub(super) doors: Arc<Doors>,
    drain: DrainSignal,
    rest: Rest,
    /// So many of those that wait may be taken still once the drain has begun.
    last: u32,
}

/// One listening socket.
enum Source {
    /// In turn with other processes.
    #[cfg(multi_process)]
    Gated(super::acceptor::Turn, Socket),
    /// For a process that is alone.
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Accepts from these sockets; `first_door` is the number by which the acceptor knows the first of them.
    pub(super) fn new(
        sockets: Vec<Socket>,
        first_door: usize,
        doors: &Arc<Doors>,
        drain: &DrainSignal,
    ) -> io::Result<Listener> {
        let local = sockets.iter().map(Socket::local_addr).collect::<io::Result<_>>()?;
        let numbered = (first_door..).zip(sockets);
        let sources = numbered.map(|(door, socket)| Source::new(socket, door, doors)).collect::<io::Result<_>>()?;
        let (doors, drain, rest) = (doors.clone(), drain.clone(), Rest::default());
        Ok(Listener { sources, first: 0, local, doors, drain, rest, last: waiting::MOST })
    }

    /// Accepts the next connection. Failures that pass, such as a lack of file descriptors, are logged and waited out.
    ///
    /// Cancel-safe: a connection that was not returned goes to another node or to the next call.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the drain has begun, and where no other node serves on, when nobody waits any more: no more
    /// connections are accepted here.
    pub async fn accept(&mut self) -> io::Result<(Stream, Addr)> {
        let asking = Asking(self);
        let drain = asking.0.drain.clone();
        tokio::select! {
            biased;
            () = drain.draining() => {}
            accepted = poll_fn(|cx| asking.0.poll_next(cx)) => return Ok(accepted),
        }
        let end = || io::Error::new(io::ErrorKind::NotConnected, "the node drains and accepts no more connections");
        asking.0.next_waiting().await.ok_or_else(end)
    }

    /// The first of the addresses that this listens on.
    ///
    /// # Errors
    ///
    /// `NotFound` where it listens on none.
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.local.first().copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// All addresses that this listens on.
    pub fn local_addrs(&self) -> &[Addr] {
        &self.local
    }

    /// The listening TCP sockets, for servers that accept by themselves. They do not block, and must stay so.
    ///
    /// What is accepted from these is neither balanced nor counted, and a drain does not wait for it: such a server
    /// has to watch [`draining`](Self::draining) and to end when it has finished.
    ///
    /// # Errors
    ///
    /// What the system says when it has no file descriptors left.
    pub fn std_tcp(&self) -> io::Result<Vec<std::net::TcpListener>> {
        self.sources.iter().filter_map(|source| source.std_tcp().transpose()).collect()
    }

    /// Resolves once this node drains. Cancel-safe.
    pub async fn draining(&self) {
        self.drain.draining().await;
    }

    /// The drain's signal, to be kept apart from the listener.
    pub fn drain_signal(&self) -> DrainSignal {
        self.drain.clone()
    }

    /// Lets small writes of accepted TCP connections go out at once. They inherit it from the listening socket on Linux, which
    /// spares a call for each of them.
    #[cfg(multi_process)]
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.sources.iter().try_for_each(Source::set_nodelay)
    }

    /// The next connection of any source. Keeps its places in the queues while it is pending; see [`Asking`].
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Stream, Addr)> {
        let (index, (io, peer)) = ready!(self.poll_sources(cx, Source::poll_accept));
        Poll::Ready(self.accepted(index, io, peer))
    }

    /// As [`poll_next`](Self::poll_next), for a connection that this process's runtime is not to watch.
    #[cfg(unix)]
    pub(super) fn poll_loose(&mut self, cx: &mut Context<'_>) -> Poll<(Loose, Open)> {
        let (_, socket) = ready!(self.poll_sources(cx, Source::poll_accept_loose));
        Poll::Ready((socket, self.doors.enter()))
    }

    /// What `accept` gets of any source, and its number.
    fn poll_sources<T>(
        &mut self,
        cx: &mut Context<'_>,
        accept: impl Fn(&mut Source, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<(usize, T)> {
        ready!(self.rest.poll(cx));
        let count = self.sources.len();
        for turn in 0..count {
            let index = (self.first + turn) % count;
            loop {
                match accept(&mut self.sources[index], cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(accepted)) => {
                        self.rest.failures = 0;
                        self.first = (index + 1) % count;
                        return Poll::Ready((index, accepted));
                    }
                    Poll::Ready(Err(error)) if passes_at_once(&error) => {}
                    Poll::Ready(Err(error)) => {
                        self.withdraw();
                        self.sources[index].pass_on();
                        self.rest.begin(&error);
                        ready!(self.rest.poll(cx));
                    }
                }
            }
        }
        Poll::Pending
    }

    fn accepted(&self, index: usize, io: Transport, peer: Addr) -> (Stream, Addr) {
        let local = self.local.get(index).copied().filter(|addr| addr.is_exact());
        (Stream::new(io, self.doors.enter(), local), peer)
    }

    /// Gives up the places in all queues.
    pub(super) fn withdraw(&self) {
        self.sources.iter().for_each(Source::withdraw);
    }
}

/// Leaves the queues when a call of `accept` ends or is dropped: a place that nobody stands behind would make clients wait.
struct Asking<'a>(&'a mut Listener);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

/// Accepts until the drain begins, and keeps the places in the queues between connections. To be polled by one task.
pub(super) struct Accepts {
    listener: Listener,
    watch: Pin<Box<Watch>>,
}

impl Accepts {
    pub(super) fn new(listener: Listener) -> Accepts {
        let watch = Box::pin(Watch::new(listener.drain.clone()));
        Accepts { listener, watch }
    }

    /// The next connection, or `None` once the drain has begun and none waits that this process has to take. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<(Stream, Addr)> {
        let accepted = poll_fn(|cx| {
            let begins = self.watch.as_mut().poll_drain(cx).is_ready();
            if begins || self.watch.is_draining() {
                return Poll::Ready(None);
            }
            self.listener.poll_next(cx).map(Some)
        })
        .await;
        match accepted {
            None => self.next_waiting().await,
            accepted => accepted,
        }
    }

    /// Once the drain has begun: the next connection that this process has to take. `None`: there is none. Cancel-safe.
    pub(super) async fn next_waiting(&mut self) -> Option<(Stream, Addr)> {
        self.listener.next_waiting().await
    }

    /// As [`next`](Self::next), without regard to the drain.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Stream, Addr)> {
        self.listener.poll_next(cx)
    }

    pub(super) fn drain(&self) -> DrainSignal {
        self.listener.drain.clone()
    }

    /// A place among the connections that are allowed. Leaves the queues while there is none; a drain makes it resolve too.
    pub(super) async fn place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = places.clone().try_acquire_owned() {
            return Some(place);
        }
        self.listener.withdraw();
        tokio::select! {
            place = places.clone().acquire_owned() => place.ok(),
            () = self.listener.drain.draining() => None,
        }
    }
}

impl Source {
    fn new(socket: Socket, door: usize, doors: &Doors) -> io::Result<Source> {
        #[cfg(multi_process)]
        if let Some(acceptor) = &doors.acceptor {
            return Ok(Source::Gated(acceptor.turn(door), socket));
        }
        let _ = (door, doors);
        Ok(match socket {
            Socket::Tcp(listener) => Source::Tcp(tokio::net::TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Socket::Unix(listener) => Source::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Transport, Addr)>> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(turn, socket) => turn.poll_take(cx, || accept_offered(socket)),
            Source::Tcp(listener) => listener.poll_accept(cx).map_ok(|(io, peer)| (Transport::Tcp(io), peer.into())),
            #[cfg(unix)]
            Source::Unix(listener) => listener.poll_accept(cx).map_ok(|(io, _)| (Transport::Unix(io), Addr::Unix)),
        }
    }

    /// As [`poll_accept`](Self::poll_accept), for a connection that no runtime is to watch.
    #[cfg(unix)]
    fn poll_accept_loose(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Loose>> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(turn, socket) => turn.poll_take(cx, || accept_loose(socket)),
            Source::Tcp(listener) => {
                ready!(listener.poll_accept(cx)).and_then(|(io, _)| io.into_std()).map(Loose::Tcp).into()
            }
            Source::Unix(listener) => {
                ready!(listener.poll_accept(cx)).and_then(|(io, _)| io.into_std()).map(Loose::Unix).into()
            }
        }
    }

    #[cfg(multi_process)]
    fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Source::Gated(_, socket) => socket.set_nodelay(),
            Source::Tcp(listener) => crate::sys::epoll::set_nodelay(listener),
            Source::Unix(_) => Ok(()),
        }
    }

    fn withdraw(&self) {
        #[cfg(multi_process)]
        if let Source::Gated(turn, _) = self {
            turn.withdraw();
        }
    }

    fn pass_on(&self) {
        #[cfg(multi_process)]
        if let Source::Gated(turn, _) = self {
            turn.pass_on();
        }
    }

    fn std_tcp(&self) -> io::Result<Option<std::net::TcpListener>> {
        match self {
            #[cfg(multi_process)]
            Source::Gated(_, Socket::Tcp(listener)) => listener.try_clone().map(Some),
            #[cfg(multi_process)]
            Source::Gated(_, Socket::Unix(_)) => Ok(None),
            Source::Tcp(listener) => std_clone(listener).map(Some),
            #[cfg(unix)]
            Source::Unix(_) => Ok(None),
        }
    }
}

#[cfg(unix)]
fn std_clone(listener: &tokio::net::TcpListener) -> io::Result<std::net::TcpListener> {
    use std::os::fd::AsFd;
    Ok(listener.as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn std_clone(listener: &tokio::net::TcpListener) -> io::Result<std::net::TcpListener> {
    use std::os::windows::io::AsSocket;
    Ok(listener.as_socket().try_clone_to_owned()?.into())
}

#[cfg(multi_process)]
fn accept_offered(socket: &Socket) -> io::Result<(Transport, Addr)> {
    use crate::sys::epoll::{accept_tcp, accept_unix};
    match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = accept_tcp(listener)?;
            Ok((Transport::Tcp(TcpStream::from_std(stream)?), peer.into()))
        }
        Socket::Unix(listener) => Ok((Transport::Unix(UnixStream::from_std(accept_unix(listener)?)?), Addr::Unix)),
    }
}

#[cfg(multi_process)]
fn accept_loose(socket: &Socket) -> io::Result<Loose> {
    use crate::sys::epoll::{accept_tcp, accept_unix};
    match socket {
        Socket::Tcp(listener) => accept_tcp(listener).map(|(stream, _)| Loose::Tcp(stream)),
        Socket::Unix(listener) => accept_unix(listener).map(Loose::Unix),
    }
}

/// Whether the failure is that of one connection which is gone already, or of another process having been faster.
fn passes_at_once(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::WouldBlock
            | Kind::Interrupted
            | Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

/// The pause after a failure that does not pass at once: without it the process would spin.
#[derive(Default)]
struct Rest {
    failures: u32,
    until: Option<Pin<Box<Sleep>>>,
    logged: Option<Instant>,
}

impl Rest {
    fn begin(&mut self, error: &io::Error) {
        let pause = REST.0.saturating_mul(1 << self.failures.min(8)).min(REST.1);
        self.failures += 1;
        self.until = Some(Box::pin(tokio::time::sleep(pause)));
        // The program ends: a node that drains already has closed the socket (accept(2), EINVAL), and this one is about to.
        let closed = error.kind() == io::ErrorKind::InvalidInput;
        let now = Instant::now();
        if !closed && self.logged.is_none_or(|then| now - then >= REST.1) {
            self.logged = Some(now);
            tracing::warn!(%error, "cannot accept connections; trying again");
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(until) = &mut self.until {
            ready!(until.as_mut().poll(cx));
            self.until = None;
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local", &self.local).finish_non_exhaustive()
    }
}

/// After the drain has begun `accept` is pending for ever, as axum's own graceful shutdown expects.
#[cfg(feature = "axum")]
impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = Addr;

    async fn accept(&mut self) -> (Stream, Addr) {
        match Listener::accept(self).await {
            Ok(accepted) => accepted,
            Err(_) => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Addr> {
        Listener::local_addr(self)
    }
}

#[cfg(feature = "axum")]
impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Listener>> for Addr {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Listener>) -> Addr {
        *stream.remote_addr()
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
