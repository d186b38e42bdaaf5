//! The primary itself: servers, the workers that have them, and connections on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::channel::Outgoing;
use super::listeners::{Accepting, EADDRINUSE, Listeners};
use super::message::{self, Address, FromWorker};
use super::turns::Turns;
use crate::id::NodeId;
use crate::serve::Socket;
use crate::sys;

/// How much may wait for the primary.
const QUEUE: usize = 256;

/// How many connections of one server may have been accepted and not be on their way.
const AHEAD: usize = 1;

/// How long a server rests that cannot accept, since descriptors or memory have run out.
const REST: Duration = Duration::from_millis(50);

/// What the primary is told.
#[derive(Debug)]
pub(in crate::supervisor) enum ToPrimary {
    Joined {
        id: NodeId,
        outbox: mpsc::Sender<Outgoing>,
    },
    Said {
        id: NodeId,
        said: FromWorker,
    },
    /// Take no new connections, finish, disconnect.
    Drain {
        id: NodeId,
    },
    /// The worker has disconnected, or its process has ended.
    Left {
        id: NodeId,
    },
    Accepted {
        key: String,
        stream: OwnedFd,
    },
}

/// Runs as a task of its own, until all senders are gone.
#[derive(Debug)]
pub(in crate::supervisor) struct Primary {
    listeners: Listeners,
    servers: BTreeMap<String, Server>,
    workers: BTreeMap<NodeId, Worker>,
    turns: Turns,
    sequence: u64,
    accepters: JoinSet<()>,
    inbox: mpsc::WeakSender<ToPrimary>,
}

#[derive(Debug)]
struct Server {
    /// What `server.address()` tells.
    name: Option<serde_json::Value>,
    workers: BTreeSet<NodeId>,
    /// A permit for each connection that may be accepted.
    gate: Arc<Semaphore>,
    /// Connections that no worker could be given yet.
    waiting: Vec<Arc<OwnedFd>>,
}

#[derive(Debug)]
struct Worker {
    outbox: mpsc::Sender<Outgoing>,
    /// Connections that it has not answered for, by their numbers.
    under_way: BTreeMap<u64, (String, Arc<OwnedFd>)>,
    /// Whether it has asked for streams to the others.
    meets: bool,
}

impl Primary {
    /// Starts it with the sockets that the master was given.
    pub(in crate::supervisor) fn start(given: Vec<Socket>, backlog: u32) -> mpsc::Sender<ToPrimary> {
        let (sender, mut inbox) = mpsc::channel(QUEUE);
        let mut primary = Primary {
            listeners: Listeners::new(given, backlog),
            servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            turns: Turns::default(),
            sequence: 0,
            accepters: JoinSet::new(),
            inbox: sender.downgrade(),
        };
        tokio::spawn(async move {
            while let Some(told) = inbox.recv().await {
                primary.hear(told).await;
            }
        });
        sender
    }

    async fn hear(&mut self, told: ToPrimary) {
        match told {
            ToPrimary::Joined { id, outbox } => {
                self.workers.insert(id, Worker { outbox, under_way: BTreeMap::new(), meets: false });
            }
            ToPrimary::Said { id, said } => self.said(id, said).await,
            ToPrimary::Drain { id } => self.drain(id),
            ToPrimary::Left { id } => self.left(id),
            ToPrimary::Accepted { key, stream } => {
                if let Some(server) = self.servers.get_mut(&key) {
                    server.waiting.push(Arc::new(stream));
                    self.hand_out(&key);
                }
            }
        }
    }

    async fn said(&mut self, id: NodeId, said: FromWorker) {
        match said {
            FromWorker::Query { seq, address } => self.query(id, seq, &address).await,
            FromWorker::Close { key } => self.leave(id, &key),
            FromWorker::Answer { ack, accepted } => self.answered(id, ack, accepted),
            FromWorker::Leaves { seq } => {
                self.leave_all(id);
                self.tell(id, (message::farewell(seq), None));
            }
            FromWorker::Peers => self.introduce(id),
            FromWorker::Listening | FromWorker::Ready | FromWorker::Other => {}
        }
    }

    async fn query(&mut self, id: NodeId, seq: u64, address: &Address) {
        let key = address.key();
        let found = self.server(&key, address).await;
        // A second server of one process for one address finds it in use.
        let joined = found.and_then(|server| server.workers.insert(id).then(|| server.name.clone()).ok_or(EADDRINUSE));
        let answer = match joined {
            Ok(name) => message::listens(seq, &key, name),
            Err(errno) => message::cannot_listen(seq, &key, errno),
        };
        self.tell(id, (answer, None));
        self.hand_out(&key);
    }

    async fn server(&mut self, key: &str, address: &Address) -> Result<&mut Server, i32> {
        if !self.servers.contains_key(key) {
            let accepting = self.listeners.find(address).await?;
            let (name, gate) = (accepting.name(address), Arc::new(Semaphore::new(0)));
            if let Some(inbox) = self.inbox.upgrade() {
                self.accepters.spawn(accept(accepting, key.to_owned(), gate.clone(), inbox.downgrade()));
            }
            let server = Server { name, workers: BTreeSet::new(), gate, waiting: Vec::new() };
            self.servers.insert(key.to_owned(), server);
        }
        self.servers.get_mut(key).ok_or(EADDRINUSE)
    }

    /// Gives what waits to whose turn it is, and lets more in only when nothing is left.
    fn hand_out(&mut self, key: &str) {
        let Some(server) = self.servers.get_mut(key) else { return };
        while let Some(stream) = server.waiting.pop() {
            let Some(id) = self.turns.take(server.workers.iter().copied()) else {
                server.waiting.push(stream);
                return;
            };
            self.sequence += 1;
            let message = message::connection(self.sequence, key);
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            worker.under_way.insert(self.sequence, (key.to_owned(), stream.clone()));
            if worker.outbox.try_send((message, Some(stream))).is_err() {
                // It does not read, or is about to be heard of.
                worker.under_way.remove(&self.sequence).into_iter().for_each(|(_, stream)| server.waiting.push(stream));
                server.workers.remove(&id);
            }
        }
        if !server.workers.is_empty() {
            let missing = AHEAD.saturating_sub(server.gate.available_permits());
            server.gate.add_permits(missing);
        }
    }

    fn answered(&mut self, id: NodeId, ack: u64, accepted: bool) {
        let Some((key, stream)) = self.workers.get_mut(&id).and_then(|worker| worker.under_way.remove(&ack)) else {
            return;
        };
        self.turns.answered(id);
        if let Some(server) = self.servers.get_mut(&key).filter(|_| !accepted) {
            server.waiting.push(stream);
        }
        self.hand_out(&key);
    }

    /// Joins a worker to all that have asked for it before.
    fn introduce(&mut self, id: NodeId) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.meets) else { return };
        worker.meets = true;
        let meets = |(&other, worker): (&NodeId, &Worker)| (worker.meets && other != id).then_some(other);
        let others: Vec<NodeId> = self.workers.iter().filter_map(meets).collect();
        for other in others {
            match sys::socket::pair() {
                Ok((mine, theirs)) => {
                    self.tell(id, (message::peer(other), Some(Arc::new(mine))));
                    self.tell(other, (message::peer(id), Some(Arc::new(theirs))));
                }
                Err(error) => crate::log::warn!(%id, %other, %error, "cannot join two Node.js programs"),
            }
        }
    }

    fn drain(&mut self, id: NodeId) {
        self.leave_all(id);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.meets = false;
        }
        self.sequence += 1;
        self.tell(id, (message::disconnect(self.sequence), None));
    }

    fn leave_all(&mut self, id: NodeId) {
        for server in self.servers.values_mut() {
            server.workers.remove(&id);
        }
    }

    fn leave(&mut self, id: NodeId, key: &str) {
        if let Some(server) = self.servers.get_mut(key) {
            server.workers.remove(&id);
        }
    }

    /// Nobody has read from what it did not answer for, so others get it.
    fn left(&mut self, id: NodeId) {
        self.leave_all(id);
        self.turns.forget(id);
        let Some(worker) = self.workers.remove(&id) else { return };
        for (key, stream) in worker.under_way.into_values() {
            if let Some(server) = self.servers.get_mut(&key) {
                server.waiting.push(stream);
            }
            self.hand_out(&key);
        }
    }

    fn tell(&self, id: NodeId, message: Outgoing) {
        if let Some(worker) = self.workers.get(&id)
            && worker.outbox.try_send(message).is_err()
        {
            crate::log::warn!(%id, "a Node.js program does not read its channel");
        }
    }
}

/// Accepts whenever the gate allows it.
async fn accept(accepting: Accepting, key: String, gate: Arc<Semaphore>, inbox: mpsc::WeakSender<ToPrimary>) {
    while let Ok(permit) = gate.acquire().await {
        permit.forget();
        let stream = loop {
            match accepting.accept().await {
                Ok(stream) => break stream,
                Err(error) => {
                    crate::log::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                }
            }
        };
        let Some(inbox) = inbox.upgrade() else { return };
        if inbox.send(ToPrimary::Accepted { key: key.clone(), stream }).await.is_err() {
            return;
        }
    }
}
