//! The primary itself: servers, the workers that have them, and connections on their way.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::accepting::Accepters;
use super::first_heads::FirstHeads;
use super::least_loaded::LeastLoaded;
use super::listeners::{self, EADDRINUSE, Listeners};
use super::members::{Server, Worker};
use super::message::{self, Address, FromWorker, HandedBack, ServerData};
use super::moving::Pending;
use super::outbox::{Outbox, Outgoing};
use super::relay::Relay;
use super::relaying::{self, OfProcess};
use crate::id::{NodeId, Slot};
use crate::serve::{Affinity, Socket};
use crate::status::Exit;
use crate::sys;

/// How much may wait for the primary.
const QUEUE: usize = 256;

/// How many connections of one server may have been accepted and not be on their way.
pub(super) const AHEAD: usize = 1;

/// The input of the primary.
#[derive(Debug)]
pub(in crate::workload) enum ToPrimary {
    Joined {
        id: NodeId,
        pid: u32,
        slot: Option<Slot>,
        outbox: Outbox,
    },
    Said {
        id: NodeId,
        said: FromWorker,
    },
    /// A connection that its preload passes back.
    HandedBack {
        id: NodeId,
        back: HandedBack,
        stream: OwnedFd,
    },
    /// Take no new connections, finish, disconnect.
    Drain {
        id: NodeId,
    },
    /// The worker has disconnected, or its process has ended.
    Left {
        id: NodeId,
    },
    /// Its process has ended.
    Exited {
        id: NodeId,
        exit: Exit,
    },
    /// News of the primary process (`--primary FILE`).
    OfProcess(OfProcess),
    Accepted {
        key: String,
        stream: OwnedFd,
    },
    /// A connection that was accepted, and whose first head was looked at then.
    Looked {
        key: String,
        stream: OwnedFd,
        /// The key of its first request.
        of_request: Option<u64>,
    },
    /// Which sockets are there?
    Sockets {
        reply: oneshot::Sender<Vec<Socket>>,
    },
    /// Does any connection wait that no worker could be given yet?
    Waits {
        reply: oneshot::Sender<bool>,
    },
    /// Accept no more, and close the sockets.
    Close,
    /// Stop, and keep what there is. No worker says anything from here on.
    Rest,
}

/// The primary as the master holds it: at work as a task of its own, until all senders are gone, or at rest.
#[derive(Debug)]
pub(in crate::workload) struct PrimaryHandle {
    inbox: mpsc::Sender<ToPrimary>,
    task: Option<JoinHandle<SuspendedMember>>,
    suspended: Option<SuspendedMember>,
    bound: watch::Receiver<Vec<String>>,
}

/// A suspended primary, and its unread messages.
#[derive(Debug)]
struct SuspendedMember {
    primary: Primary,
    inbox: mpsc::Receiver<ToPrimary>,
}

/// Servers, workers, and what is on its way between them.
#[derive(Debug)]
pub(super) struct Primary {
    pub(super) listeners: Listeners,
    pub(super) servers: BTreeMap<String, Server>,
    pub(super) workers: BTreeMap<NodeId, Worker>,
    pub(super) turns: LeastLoaded,
    pub(super) sequence: u64,
    pub(super) relay: Relay,
    /// By what requests have owners.
    pub(super) affinity: Option<Affinity>,
}

impl PrimaryHandle {
    /// A primary with the sockets that the master was given. It rests still.
    pub(in crate::workload) fn open(given: Vec<Socket>, backlog: u32) -> PrimaryHandle {
        PrimaryHandle::resume(Primary {
            listeners: Listeners::new(given, backlog),
            servers: BTreeMap::new(),
            workers: BTreeMap::new(),
            turns: LeastLoaded::default(),
            sequence: 0,
            relay: Relay::default(),
            affinity: None,
        })
    }

    /// Whether workers may have no Unix sockets opened. Of no effect while the primary works.
    pub(in crate::workload) fn refuse_files(&mut self, refuses: bool) {
        self.suspended.iter_mut().for_each(|suspended| suspended.primary.listeners.refuses_files = refuses);
    }

    /// By what requests have owners. Of no effect while the primary works.
    pub(in crate::workload) fn own_by(&mut self, affinity: Option<&Affinity>) {
        self.suspended.iter_mut().for_each(|suspended| suspended.primary.affinity = affinity.cloned());
    }

    /// A primary at rest.
    pub(super) fn resume(primary: Primary) -> PrimaryHandle {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let bound = primary.listeners.bound.subscribe();
        PrimaryHandle { inbox: sender, task: None, suspended: Some(SuspendedMember { primary, inbox }), bound }
    }

    /// The way to it.
    pub(in crate::workload) fn inbox(&self) -> mpsc::Sender<ToPrimary> {
        self.inbox.clone()
    }

    /// What was bound since nodes have asked for it.
    pub(in crate::workload) fn bound(&self) -> Vec<String> {
        self.bound.borrow().clone()
    }

    /// Has it rest, after all workers' channels.
    pub(in crate::workload) async fn rest(&mut self) {
        let Some(task) = self.task.take() else { return };
        // An error means that the task has panicked, which the next line reports.
        let _ = self.inbox.send(ToPrimary::Rest).await;
        match task.await {
            Ok(suspended) => self.suspended = Some(suspended),
            Err(error) => crate::log::error!(%error, "the primary of Node.js programs has failed"),
        }
    }

    /// Continues after a suspension, with the outboxes of the workers that are left.
    pub(in crate::workload) fn go_on(&mut self, outboxes: BTreeMap<NodeId, Outbox>) {
        let Some(SuspendedMember { mut primary, inbox }) = self.suspended.take() else { return };
        primary.reconnect(outboxes);
        self.task = Some(tokio::spawn(primary.work(inbox, self.inbox.downgrade())));
    }

    /// What it has, while it rests.
    pub(super) fn suspended(&self) -> Option<&Primary> {
        self.suspended.as_ref().map(|suspended| &suspended.primary)
    }
}

impl Primary {
    /// Returns when it is suspended, or all senders are gone.
    async fn work(mut self, mut inbox: mpsc::Receiver<ToPrimary>, own: mpsc::WeakSender<ToPrimary>) -> SuspendedMember {
        let heads = self.affinity.clone().map(|affinity| FirstHeads::new(affinity, own.clone()));
        let mut accepters = Accepters::new(own, heads);
        self.instruct_all();
        self.servers.iter().for_each(|(key, server)| server.accept(key, &mut accepters));
        self.servers.keys().cloned().collect::<Vec<_>>().iter().for_each(|key| self.hand_out(key));
        while let Some(told) = inbox.recv().await {
            if matches!(told, ToPrimary::Rest) {
                break;
            }
            self.hear(told, &mut accepters).await;
        }
        accepters.rest();
        // Messages that are already on their way are still handled.
        loop {
            let told = tokio::select! {
                biased;
                Some(told) = inbox.recv() => told,
                () = accepters.rested() => break,
            };
            self.hear(told, &mut accepters).await;
        }
        SuspendedMember { primary: self, inbox }
    }

    fn reconnect(&mut self, mut outboxes: BTreeMap<NodeId, Outbox>) {
        for id in self.workers.keys().copied().collect::<Vec<_>>() {
            match (self.workers.get_mut(&id), outboxes.remove(&id)) {
                (Some(worker), Some(outbox)) => worker.outbox = outbox,
                _ => self.left(id),
            }
        }
    }

    async fn hear(&mut self, told: ToPrimary, accepters: &mut Accepters) {
        match told {
            ToPrimary::Joined { id, pid, slot, outbox } => {
                // One that was here before a rest is still.
                self.workers.entry(id).or_insert(Worker { slot, ..Worker::new(outbox) });
                relaying::warn(id, self.relay.joined(id, pid).as_ref());
            }
            ToPrimary::Said { id, said } => self.said(id, said, accepters).await,
            ToPrimary::HandedBack { id, back, stream } => self.handed_back(id, back, stream),
            ToPrimary::Drain { id } => self.drain(id),
            ToPrimary::Left { id } => self.left(id),
            ToPrimary::Exited { id, exit } => relaying::warn(id, self.relay.exited(id, exit).as_ref()),
            ToPrimary::OfProcess(told) => self.of_process(told),
            ToPrimary::Accepted { key, stream } => {
                if let Some(server) = self.servers.get_mut(&key) {
                    server.waiting.push(Pending::new(stream));
                    self.hand_out(&key);
                }
            }
            ToPrimary::Looked { key, stream, of_request } => self.looked(&key, stream, of_request),
            // The caller may have ended.
            ToPrimary::Sockets { reply } => drop(reply.send(self.sockets())),
            ToPrimary::Waits { reply } => {
                let waits = self.servers.values().any(|server| !server.waiting.is_empty());
                let _ = reply.send(waits || accepters.look());
            }
            ToPrimary::Close => {
                accepters.rest();
                self.servers.clear();
                self.listeners.close();
            }
            ToPrimary::Rest => {}
        }
    }

    fn sockets(&self) -> Vec<Socket> {
        self.servers.values().filter_map(|server| server.socket.try_clone().ok()).collect()
    }

    async fn said(&mut self, id: NodeId, said: FromWorker, accepters: &mut Accepters) {
        match said {
            FromWorker::Query { seq, address, data } => {
                let answer = self.query(id, seq, &address, data, accepters).await;
                self.tell(id, (answer, None));
                self.instruct_all();
                self.hand_out(&address.key());
            }
            FromWorker::Close { key } => self.leave(id, &key),
            FromWorker::Answer { ack, accepted } => self.answered(id, ack, accepted),
            FromWorker::Leaves { seq } => {
                self.relay.asked(id);
                self.leave_all(id);
                self.tell(id, (message::farewell(seq), None));
            }
            FromWorker::Peers => self.introduce(id),
            FromWorker::Preload(says) => self.preload_says(id, &says),
            // The channel knows what these need.
            FromWorker::Handle(_) | FromWorker::Closing { .. } | FromWorker::Counting { .. } => {}
            FromWorker::Online => relaying::warn(id, self.relay.online(id).as_ref()),
            FromWorker::Listening(line) => relaying::warn(id, self.relay.listening(id, line).as_ref()),
            FromWorker::Message(sent) => relaying::warn(id, self.relay.message(id, &sent).as_ref()),
            FromWorker::Ready => relaying::warn(id, self.relay.ready(id).as_ref()),
            FromWorker::Other => {}
        }
    }

    async fn query(
        &mut self,
        id: NodeId,
        seq: u64,
        address: &Address,
        data: Option<ServerData>,
        accepters: &mut Accepters,
    ) -> Value {
        let key = address.key();
        let found = self.server(&key, address, accepters).await;
        // A second server of one process for one address finds it in use.
        match found.and_then(|server| server.workers.insert(id).then_some(server).ok_or(EADDRINUSE)) {
            Ok(server) => {
                server.data = server.data.take().or(data);
                message::listens(seq, &key, server.name.clone(), server.data.as_ref())
            }
            Err(errno) => message::cannot_listen(seq, &key, errno, data.as_ref()),
        }
    }

    async fn server(&mut self, key: &str, address: &Address, accepters: &mut Accepters) -> Result<&mut Server, i32> {
        if !self.servers.contains_key(key) {
            let socket = self.listeners.find(address).await?;
            let name = listeners::name(&socket, address);
            let server = Server::new(socket, name);
            server.accept(key, accepters);
            self.servers.insert(key.to_owned(), server);
        }
        self.servers.get_mut(key).ok_or(EADDRINUSE)
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

    pub(super) fn leave_all(&mut self, id: NodeId) {
        for key in self.servers.keys().cloned().collect::<Vec<_>>() {
            self.leave(id, &key);
        }
    }

    fn leave(&mut self, id: NodeId, key: &str) {
        if self.servers.get_mut(key).is_some_and(|server| server.workers.remove(&id)) {
            self.instruct_all();
        }
        self.keep_stranded(key);
    }

    /// Connections that it has not answered for are unread, so others get them.
    fn left(&mut self, id: NodeId) {
        self.leave_all(id);
        self.turns.forget(id);
        relaying::warn(id, self.relay.left(id).as_ref());
        let Some(worker) = self.workers.remove(&id) else { return };
        for (key, pending) in worker.under_way.into_values() {
            if let Some(server) = self.servers.get_mut(&key) {
                server.waiting.push(pending);
            }
            self.hand_out(&key);
        }
    }

    pub(super) fn tell(&self, id: NodeId, message: Outgoing) {
        if let Some(worker) = self.workers.get(&id)
            && worker.outbox.try_send(message).is_err()
        {
            crate::log::warn!(%id, "a Node.js program does not read its channel");
        }
    }
}
