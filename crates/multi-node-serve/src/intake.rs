//! Connections that other processes hand over to this one.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::drain::DrainSignal;
use super::http::ConnInfo;
use super::parcel::Parcel;
use super::places::Places;
use super::stream::{Doors, Open, Stream};

/// How many connections may wait to be served by one server.
const QUEUE: usize = 1024;

/// Takes over connections; clones are the same intake.
#[derive(Clone, Debug)]
pub struct Intake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    doors: Arc<Doors>,
    drain: DrainSignal,
    /// One for each server, `None` where it takes nothing over.
    entries: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    arrivals: mpsc::Sender<Arrival>,
    places: Arc<Places>,
}

/// A place for one connection, which counts as open already. It is given back when this is dropped.
#[derive(Debug)]
pub struct Reserved {
    slot: mpsc::OwnedPermit<Arrival>,
    open: Open,
}

/// A connection that was taken over.
#[derive(Debug)]
pub(super) struct Arrival {
    parcel: Parcel,
    open: Open,
}

impl Intake {
    /// Makes the intake and, for each server, its end of it. `servers` are the places of those that take connections over.
    pub(super) fn new(
        doors: Arc<Doors>,
        drain: DrainSignal,
        servers: Vec<Option<Arc<Places>>>,
    ) -> (Intake, Vec<mpsc::Receiver<Arrival>>) {
        let (mut entries, mut ends) = (Vec::new(), Vec::new());
        for places in servers {
            let (arrivals, end) = mpsc::channel(QUEUE);
            entries.push(places.map(|places| Entry { arrivals, places }));
            ends.push(end);
        }
        (Intake(Arc::new(Shared { doors, drain, entries })), ends)
    }

    /// Reserves what it takes to serve one more connection: after this it can be promised to be taken.
    ///
    /// `None` where this process drains, where `server` is none that takes connections over, where it has as many as it allows, and
    /// where too many wait.
    pub fn reserve(&self, server: usize) -> Option<Reserved> {
        let Shared { doors, drain, entries } = &*self.0;
        let Entry { arrivals, places } = entries.get(server)?.as_ref()?;
        if drain.is_draining() {
            return None;
        }
        let slot = arrivals.clone().try_reserve_owned().ok()?;
        let place = places.take().ok()?;
        Some(Reserved { slot, open: doors.join(place) })
    }
}

impl Reserved {
    /// Serves the connection from here on. A drain that has begun since does not lose it.
    pub fn adopt(self, parcel: Parcel) {
        let Reserved { slot, open } = self;
        // Fails only where the server was aborted at the drain's deadline.
        let _ = slot.send(Arrival { parcel, open });
    }
}

impl Arrival {
    /// The connection, watched by this process's runtime.
    pub(super) fn open(self) -> io::Result<(Stream, Bytes, ConnInfo)> {
        self.parcel.open(self.open)
    }
}
