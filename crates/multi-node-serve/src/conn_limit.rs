//! The places among the connections that a server allows, for those that it accepts and those that it is given.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::listener::Accepts;
use super::socket::Addr;
use super::stream::Stream;

/// The places of one server.
#[derive(Debug)]
pub(super) enum ConnLimit {
    /// There is no end of them.
    Endless,
    /// The server has a limit of its own.
    Own(Limited),
    /// All servers without a limit of their own share these.
    Common(Arc<Semaphore>),
}

#[derive(Debug)]
pub(super) struct Limited {
    free: Arc<Semaphore>,
    /// The place of the connection that is accepted next. A connection from another process may take it away.
    spare: Mutex<Option<OwnedSemaphorePermit>>,
}

/// No place is free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

impl ConnLimit {
    /// `limit` is the server's own; without one it shares `common`, where there are such.
    pub(super) fn new(limit: Option<usize>, common: Option<&Arc<Semaphore>>) -> Arc<ConnLimit> {
        let own = |count| ConnLimit::Own(Limited { free: Arc::new(Semaphore::new(count)), spare: Mutex::default() });
        let shared = || common.cloned().map_or(ConnLimit::Endless, ConnLimit::Common);
        Arc::new(limit.map_or_else(shared, own))
    }

    /// A place for a connection that is not accepted; `None` where none is needed.
    pub(super) fn take(&self) -> Result<Option<OwnedSemaphorePermit>, Full> {
        let place = match self {
            ConnLimit::Endless => return Ok(None),
            ConnLimit::Own(Limited { free, spare }) => {
                free.clone().try_acquire_owned().ok().or_else(|| lock(spare).take())
            }
            ConnLimit::Common(free) => free.clone().try_acquire_owned().ok(),
        };
        place.map(Some).ok_or(Full)
    }

    /// The next accepted connection, once there is a place for it; `None` once the drain has begun and none waits that this
    /// process has a place for and has to take. Cancel-safe.
    pub(super) async fn accept(&self, accepts: &mut Accepts) -> Option<(Stream, Addr)> {
        match self {
            ConnLimit::Endless => accepts.next().await,
            ConnLimit::Own(limited) => self.accept_own(limited, accepts).await,
            ConnLimit::Common(free) => {
                let Some(place) = accepts.place(free).await else { return self.accept_waiting(accepts).await };
                let (mut stream, peer) = accepts.next().await?;
                stream.hold(place);
                Some((stream, peer))
            }
        }
    }

    async fn accept_own(&self, Limited { free, spare }: &Limited, accepts: &mut Accepts) -> Option<(Stream, Addr)> {
        let drain = accepts.drain();
        loop {
            if lock(spare).is_none() {
                let Some(place) = accepts.place(free).await else { return self.accept_waiting(accepts).await };
                *lock(spare) = Some(place);
            }
            // Under the lock no other task takes the place between the check and the `accept`.
            let next = poll_fn(|cx| {
                let mut spare = lock(spare);
                if spare.is_none() {
                    return Poll::Ready(None);
                }
                let (mut stream, peer) = ready!(accepts.poll_next(cx));
                if let Some(place) = spare.take() {
                    stream.hold(place);
                }
                Poll::Ready(Some((stream, peer)))
            });
            tokio::select! {
                biased;
                () = drain.draining() => return self.accept_waiting(accepts).await,
                accepted = next => if accepted.is_some() { return accepted },
            }
        }
    }

    /// Once the drain has begun.
    async fn accept_waiting(&self, accepts: &mut Accepts) -> Option<(Stream, Addr)> {
        let place = self.take().ok()?;
        let (mut stream, peer) = accepts.next_waiting().await?;
        place.into_iter().for_each(|place| stream.hold(place));
        Some((stream, peer))
    }
}

fn lock(spare: &Mutex<Option<OwnedSemaphorePermit>>) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
    // It cannot be left half changed.
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}
