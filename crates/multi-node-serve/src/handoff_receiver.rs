//! Connections that other processes hand off to this one.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::conn_limit::ConnLimit;
use super::drain::DrainSignal;
use super::idle_conn::{IdleConn, Opened};
use super::stream::{ConnTracker, Open};

/// How many connections may wait to be served by one server.
const QUEUE: usize = 1024;

/// Takes over connections; clones are the same receiver.
#[derive(Clone, Debug)]
pub struct HandoffReceiver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tracker: Arc<ConnTracker>,
    drain: DrainSignal,
    /// One for each server, `None` where it takes nothing over.
    entries: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    arrivals: mpsc::Sender<ReceivedConn>,
    conn_limit: Arc<ConnLimit>,
}

/// A place for one connection, which counts as open already. It is given back when this is dropped.
#[derive(Debug)]
pub struct Reserved {
    slot: mpsc::OwnedPermit<ReceivedConn>,
    open: Open,
}

/// A connection that was taken over.
#[derive(Debug)]
pub(super) struct ReceivedConn {
    idle_conn: IdleConn,
    open: Open,
}

impl HandoffReceiver {
    /// Makes the receiver and, for each server, its end of it. `servers` are the indexes of servers that take connections
    /// over.
    pub(super) fn new(
        tracker: Arc<ConnTracker>,
        drain: DrainSignal,
        servers: Vec<Option<Arc<ConnLimit>>>,
    ) -> (HandoffReceiver, Vec<mpsc::Receiver<ReceivedConn>>) {
        let (mut entries, mut ends) = (Vec::new(), Vec::new());
        for conn_limit in servers {
            let (arrivals, end) = mpsc::channel(QUEUE);
            entries.push(conn_limit.map(|conn_limit| Entry { arrivals, conn_limit }));
            ends.push(end);
        }
        (HandoffReceiver(Arc::new(Shared { tracker, drain, entries })), ends)
    }

    /// Reserves what it takes to serve one more connection: after this it can be promised to be taken.
    ///
    /// `None` where this process drains, where `server` is none that takes connections over, where it has as many as it allows, and
    /// where too many wait.
    pub fn reserve(&self, server: usize) -> Option<Reserved> {
        let Shared { tracker, drain, entries } = &*self.0;
        let Entry { arrivals, conn_limit } = entries.get(server)?.as_ref()?;
        if drain.is_draining() {
            return None;
        }
        let slot = arrivals.clone().try_reserve_owned().ok()?;
        let place = conn_limit.take().ok()?;
        Some(Reserved { slot, open: tracker.join(place) })
    }

    /// Whether nothing is taken over any more, since this process drains.
    pub fn is_draining(&self) -> bool {
        self.0.drain.is_draining()
    }
}

impl Reserved {
    /// Serves the connection from here on. A drain that has begun since does not lose it.
    pub fn adopt(self, idle_conn: IdleConn) {
        let Reserved { slot, open } = self;
        // Fails only where the server was aborted at the drain's deadline.
        let _ = slot.send(ReceivedConn { idle_conn, open });
    }
}

impl ReceivedConn {
    /// The connection, watched by this process's runtime.
    pub(super) fn open(self) -> io::Result<Opened> {
        self.idle_conn.open(self.open)
    }
}
