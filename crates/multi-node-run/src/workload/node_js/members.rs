//! What the primary has: the servers of the program, and its workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::accepting::Accepters;
use super::message::ServerData;
use super::moving::Pending;
use super::outbox::Outbox;
use super::queue::Dropped;
use crate::id::{NodeId, Slot};
use crate::serve::Socket;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) socket: Socket,
    /// The result of `server.address()`.
    pub(super) name: Option<Value>,
    /// What its first worker shares with later ones.
    pub(super) data: Option<ServerData>,
    pub(super) workers: BTreeSet<NodeId>,
    /// A permit for each connection that may be accepted.
    pub(super) gate: Arc<Semaphore>,
    /// Connections that no worker could be given yet.
    pub(super) waiting: Vec<Pending>,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) outbox: Outbox,
    /// Messages of the primary process that it was not there to read.
    pub(super) dropped: Dropped,
    /// Connections that it has not answered for, by their numbers.
    pub(super) under_way: BTreeMap<u64, (String, Pending)>,
    /// Whether it has asked for streams to the others.
    pub(super) meets: bool,
    /// Whether the preload works in it.
    pub(super) preload: bool,
    /// Whose requests it answers, where they have owners.
    pub(super) slot: Option<Slot>,
}

impl Worker {
    pub(super) fn new(outbox: Outbox) -> Worker {
        Worker {
            outbox,
            dropped: Dropped::default(),
            under_way: BTreeMap::new(),
            meets: false,
            preload: false,
            slot: None,
        }
    }
}

impl Server {
    pub(super) fn new(socket: Socket, name: Option<Value>) -> Server {
        let (workers, gate) = (BTreeSet::new(), Arc::new(Semaphore::new(0)));
        Server { socket, name, data: None, workers, gate, waiting: Vec::new() }
    }

    pub(super) fn accept(&self, key: &str, accepters: &mut Accepters) {
        if let Err(error) = accepters.add(key, &self.socket, self.gate.clone()) {
            crate::log::error!(server = key, %error, "cannot accept connections");
        }
    }
}
