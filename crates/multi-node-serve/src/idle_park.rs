//! Where handed-off connections for an event loop other than tokio's wait until their clients send something.
//!
//! Such a loop regards a connection that it gets as newly opened: Node.js, for one, answers 408 if no request comes within a
//! minute. In here connections are idle; no byte is read of them. In a drain they go on to the next process.
//!
//! With affinity the next head has to come too, also of new connections. If another process owns the request, the connection goes there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::drain::DrainSignal;
use super::external::{AcceptedConn, ConnGuard, ConnHandoff};
use super::handoff_receiver::ReceivedConn;
use super::idle_conn::Opened;
use super::lingering_close::lingering_close;
use super::stream::{Open, Stream, UnregisteredStream};
use super::unread_heads::UnreadHeads;

/// How many connections may wait to be taken by the event loop; those beyond stay here.
const READY: usize = 64;

/// How long a connection may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleTimeout {
    Endless,
    For(Duration),
    /// The event loop takes none any more.
    Over,
}

impl IdleTimeout {
    /// Zero: for ever.
    pub(super) fn of(time: Duration) -> IdleTimeout {
        if time.is_zero() { IdleTimeout::Endless } else { IdleTimeout::For(time) }
    }

    /// When the time of a connection is over that waits since then; `None`: never.
    fn end(self, since: Instant) -> Option<Instant> {
        match self {
            IdleTimeout::Endless => None,
            IdleTimeout::For(time) => since.checked_add(time),
            IdleTimeout::Over => Some(since),
        }
    }
}

/// Waits until a connection has been idle for as long as it may be by then.
async fn end_of(mut idle_timeout: watch::Receiver<IdleTimeout>) {
    let since = Instant::now();
    loop {
        let end = idle_timeout.borrow_and_update().end(since);
        let due = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => return,
            // An error means that no task could take the connection any more either.
            changed = idle_timeout.changed() => if changed.is_err() { return },
        }
    }
}

/// What a server's waiting connections share.
pub(super) struct IdlePark {
    ready: mpsc::Sender<AcceptedConn>,
    from: ConnHandoff,
    drain: DrainSignal,
    idle_timeout: watch::Receiver<IdleTimeout>,
    /// Where requests have owners.
    heads: Option<Arc<UnreadHeads>>,
}

impl IdlePark {
    /// Lets the arrivals wait, each in a task of its own. The receiver ends when the drain has begun and the last is gone, as long as no one else
    /// has the park.
    pub(super) fn open(
        arrivals: mpsc::Receiver<ReceivedConn>,
        from: ConnHandoff,
        drain: DrainSignal,
        idle_timeout: watch::Receiver<IdleTimeout>,
        heads: Option<Arc<UnreadHeads>>,
    ) -> (Arc<IdlePark>, mpsc::Receiver<AcceptedConn>) {
        let (ready, taken) = mpsc::channel(READY);
        let park = Arc::new(IdlePark { ready, from, drain, idle_timeout, heads });
        tokio::spawn(park.clone().receive(arrivals));
        (park, taken)
    }

    /// A new connection: back to the event loop, or it waits until it is known who answers its first request.
    pub(super) fn admit(self: &Arc<Self>, socket: UnregisteredStream, open: Open) -> Option<AcceptedConn> {
        let room = self.heads.as_ref().filter(|heads| !heads.is_ours(socket.file())).and_then(|heads| heads.room());
        let Some(room) = room else { return Some(AcceptedConn::from((socket, open))) };
        // One that cannot be watched is closed.
        if let Ok(stream) = socket.register(open) {
            let park = self.clone();
            tokio::spawn(async move {
                let _room = room;
                park.look(stream).await;
            });
        }
        None
    }

    async fn receive(self: Arc<Self>, mut arrivals: mpsc::Receiver<ReceivedConn>) {
        let drain = self.drain.clone();
        let mut idle_timeout = self.idle_timeout.clone();
        // An error means the same: the receiver is gone.
        let closed = async { drop(idle_timeout.wait_for(|idle_timeout| *idle_timeout == IdleTimeout::Over).await) };
        tokio::pin!(closed);
        loop {
            tokio::select! {
                biased;
                () = drain.draining() => break,
                () = &mut closed => break,
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.enter(arrival),
                    None => return,
                },
            }
        }
        // Connections that were promised a place are still taken: a sender that holds a reserved place may still send.
        arrivals.close();
        while let Some(arrival) = arrivals.recv().await {
            self.enter(arrival);
        }
    }

    fn enter(self: &Arc<Self>, arrival: ReceivedConn) {
        // Nothing was read of it: it comes from another such loop. One that cannot be watched is closed.
        if let Ok(Opened { stream, for_request, .. }) = arrival.open() {
            tokio::spawn(self.clone().wait(stream, for_request));
        }
    }

    /// `is_ours`: its next request is answered here, although another process may own it.
    async fn wait(self: Arc<Self>, stream: Stream, is_ours: bool) {
        tokio::select! {
            biased;
            readable = stream.readable() => match readable {
                Ok(()) if is_ours => self.give_in(stream).await,
                Ok(()) => self.look(stream).await,
                Err(_) => {}
            },
            () = self.drain.draining() => self.pass_on(stream).await,
            () = end_of(self.idle_timeout.clone()) => lingering_close(stream, &self.drain).await,
        }
    }

    /// To the owner of its next request, as soon as that is known.
    async fn look(&self, stream: Stream) {
        let Some(heads) = &self.heads else { return self.give_in(stream).await };
        tokio::select! {
            biased;
            owner = heads.owner(&stream) => match owner {
                None => self.give_in(stream).await,
                Some(owner) => {
                    let Ok((socket, open)) = stream.leave_runtime() else { return };
                    let Some((socket, open)) = heads.give(owner, socket, open).await else { return };
                    self.give_at_rest(socket, open).await;
                }
            },
            () = self.drain.draining() => self.pass_on(stream).await,
        }
    }

    /// To the event loop, which answers.
    async fn give_in(&self, stream: Stream) {
        if let Ok((socket, open)) = stream.leave_runtime() {
            self.give_at_rest(socket, open).await;
        }
    }

    async fn give_at_rest(&self, socket: UnregisteredStream, open: Open) {
        // Fails only where the event loop takes none any more.
        let _ = self.ready.send(AcceptedConn::from((socket, open))).await;
    }

    /// To another process; where none takes it, it is closed, unless a request has come meanwhile.
    async fn pass_on(&self, stream: Stream) {
        let Ok((socket, open)) = stream.leave_runtime() else { return };
        let open = match socket.try_clone() {
            Ok(copy) => match self.from.give(copy, ConnGuard::new(open)).await {
                Ok(()) => return,
                Err(count) => count.into_open(),
            },
            // There are too many open files to hand it off.
            Err(_) => open,
        };
        if socket.has_bytes() {
            self.give_at_rest(socket, open).await;
        } else if let Ok(stream) = socket.register(open) {
            lingering_close(stream, &self.drain).await;
        }
    }
}

#[cfg(test)]
#[path = "idle_park_tests.rs"]
mod tests;
