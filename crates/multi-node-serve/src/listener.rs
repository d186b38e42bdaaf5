//! Accepting, in whichever way the process does it, and what happens when that fails.

mod failure;
mod source;
mod waiting;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::failure::{Rest, passes_at_once};
use self::source::Source;
use super::drain::{DrainSignal, Watch};
use super::socket::{Addr, Socket};
use super::stream::{ConnTracker, Stream, Transport};
#[cfg(unix)]
use super::stream::{Open, UnregisteredStream};

/// The addresses of one server, from which it accepts connections in turn with all other nodes.
///
/// Every connection that comes from here counts as open until its [`Stream`] is dropped, and a drain waits for it.
pub struct Listener {
    sources: Vec<Source>,
    /// The source that is asked first, so that a busy one does not starve the others.
    first: usize,
    local: Vec<Addr>,
    pub(super) tracker: Arc<ConnTracker>,
    drain: DrainSignal,
    rest: Rest,
    /// How many of the waiting connections may still be taken once the drain has begun.
    last: u32,
}

impl Listener {
    /// Accepts from these sockets; `first_door` is the number by which the acceptor knows the first of them.
    pub(super) fn new(
        sockets: Vec<Socket>,
        first_door: usize,
        tracker: &Arc<ConnTracker>,
        drain: &DrainSignal,
    ) -> io::Result<Listener> {
        let local = sockets.iter().map(Socket::local_addr).collect::<io::Result<_>>()?;
        let numbered = (first_door..).zip(sockets);
        let sources = numbered.map(|(door, socket)| Source::new(socket, door, tracker)).collect::<io::Result<_>>()?;
        let (tracker, drain, rest) = (tracker.clone(), drain.clone(), Rest::default());
        Ok(Listener { sources, first: 0, local, tracker, drain, rest, last: waiting::MOST })
    }

    /// Accepts the next connection. Transient failures, such as a lack of file descriptors, are logged and waited out.
    ///
    /// Cancel-safe: a connection that was not returned goes to another node or to the next call.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the drain has begun, and, if no other node serves, once the queue is empty: no more connections
    /// are accepted here.
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

    /// The listening TCP sockets, for servers that accept connections themselves. They are nonblocking, and must stay so.
    ///
    /// Connections accepted from these sockets are neither balanced nor counted, and a drain does not wait for them. Such a
    /// server has to watch [`draining`](Self::draining) and end when it has finished.
    ///
    /// # Errors
    ///
    /// The system's error if no file descriptors are left.
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
    pub(super) fn poll_unregistered(&mut self, cx: &mut Context<'_>) -> Poll<(UnregisteredStream, Open)> {
        let (_, socket) = ready!(self.poll_sources(cx, Source::poll_accept_unregistered));
        Poll::Ready((socket, self.tracker.enter()))
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
        (Stream::new(io, self.tracker.enter(), local), peer)
    }

    /// Lets an event loop wait for connections itself; it finds events with this token in its epoll instance.
    #[cfg(multi_process)]
    pub(super) fn wait_in(&self, epoll: std::os::fd::BorrowedFd<'_>, token: u64) -> io::Result<()> {
        for source in &self.sources {
            source.wait_in(epoll.try_clone_to_owned()?, token);
        }
        Ok(())
    }

    /// That event loop has found such an event.
    #[cfg(multi_process)]
    pub(super) fn woken(&self) {
        self.sources.iter().for_each(Source::woken);
    }

    /// Gives up the places in all queues.
    pub(super) fn withdraw(&self) {
        self.sources.iter().for_each(Source::withdraw);
    }
}

/// Leaves the queues when a call of `accept` ends or is dropped: otherwise clients would wait for a caller that is gone.
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
    pub(super) async fn place(&self, conn_limit: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = conn_limit.clone().try_acquire_owned() {
            return Some(place);
        }
        self.listener.withdraw();
        tokio::select! {
            place = conn_limit.clone().acquire_owned() => place.ok(),
            () = self.listener.drain.draining() => None,
        }
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
