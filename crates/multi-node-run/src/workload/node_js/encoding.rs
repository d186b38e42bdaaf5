//! The primary and the channels, as they travel to the next master.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::channel::{Channel, Talk};
use super::least_loaded::LeastLoaded;
use super::listeners::Listeners;
use super::members::{Server, Worker};
use super::message::ServerData;
use super::moving::{Holder, Pending};
use super::outbox::{Line, Outbox};
use super::owned::Head;
use super::primary::{Primary, PrimaryHandle, ToPrimary};
use super::relay::Relay;
use crate::control::{Fd, PassedSocket};
use crate::id::{NodeId, Slot};
use crate::serve::Socket;
use crate::shared_secret::Hidden;

/// What a primary has.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::workload) struct PrimaryState {
    /// How many of the sockets that the master was given are mapped to a server.
    mapped: usize,
    /// What was bound for programs.
    bound: Vec<String>,
    /// Files of Unix sockets among it.
    files: Vec<PathBuf>,
    servers: Vec<ServerState>,
    workers: Vec<WorkerState>,
    sequence: u64,
    backlog: u32,
    /// What the primary process knows of the workers.
    #[serde(default)]
    relay: Relay,
}

#[derive(Debug, Serialize, Deserialize)]
struct ServerState {
    key: String,
    socket: PassedSocket,
    name: Option<Value>,
    #[serde(default)]
    data: Option<ServerData>,
    workers: BTreeSet<NodeId>,
    waiting: Vec<PendingState>,
}

/// A connection that no worker has taken yet.
#[derive(Debug, Serialize, Deserialize)]
struct PendingState(Fd, Option<Holder>, #[serde(default)] Option<u64>, #[serde(default)] Option<Head>);

impl PendingState {
    fn pack(pending: &Pending) -> PendingState {
        let Pending { stream, holder, of_request, head } = pending;
        PendingState(Fd::shared(stream), holder.clone(), *of_request, head.clone())
    }

    fn unpack(self) -> io::Result<Pending> {
        let PendingState(stream, holder, of_request, head) = self;
        Ok(Pending { stream: stream.into_shared()?, holder, of_request, head })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct WorkerState {
    id: NodeId,
    /// By their numbers, each with the key of its server.
    under_way: Vec<(u64, String, PendingState)>,
    meets: bool,
    #[serde(default)]
    preload: bool,
    #[serde(default)]
    slot: Option<Slot>,
}

impl PrimaryHandle {
    /// `None` of a primary that does not rest.
    pub(in crate::workload) fn pack(&self) -> io::Result<Option<PrimaryState>> {
        let Some(primary) = self.suspended() else { return Ok(None) };
        let Primary { listeners, servers, workers, sequence, relay, .. } = primary;
        let servers = servers.iter().map(|(key, server)| {
            Ok(ServerState {
                key: key.clone(),
                socket: PassedSocket::of(&server.socket)?,
                name: server.name.clone(),
                data: server.data.clone(),
                workers: server.workers.clone(),
                waiting: server.waiting.iter().map(PendingState::pack).collect(),
            })
        });
        let servers = servers.collect::<io::Result<_>>()?;
        let workers = workers.iter().map(|(id, worker)| WorkerState {
            id: *id,
            under_way: worker
                .under_way
                .iter()
                .map(|(number, (key, pending))| (*number, key.clone(), PendingState::pack(pending)))
                .collect(),
            meets: worker.meets,
            preload: worker.preload,
            slot: worker.slot,
        });
        let workers = workers.collect();
        let Listeners { mapped, files, backlog, bound, .. } = listeners;
        let (mapped, files, backlog, bound) = (*mapped, files.clone(), *backlog, bound.borrow().clone());
        let (sequence, relay) = (*sequence, relay.clone());
        Ok(Some(PrimaryState { mapped, bound, files, servers, workers, sequence, backlog, relay }))
    }

    pub(in crate::workload) fn unpack(state: PrimaryState, given: Vec<Socket>) -> io::Result<PrimaryHandle> {
        let mut listeners = Listeners::new(given, state.backlog);
        (listeners.mapped, listeners.files) = (state.mapped, state.files);
        listeners.bound.send_replace(state.bound);
        let servers = state.servers.into_iter().map(|server| {
            let mut decoded = Server::new(server.socket.open()?, server.name);
            (decoded.data, decoded.workers) = (server.data, server.workers);
            decoded.waiting = server.waiting.into_iter().map(PendingState::unpack).collect::<io::Result<_>>()?;
            Ok::<_, io::Error>((server.key, decoded))
        });
        let servers = servers.collect::<io::Result<_>>()?;
        let mut turns = LeastLoaded::default();
        let workers = state.workers.into_iter().map(|worker| {
            turns.resume(worker.id, worker.under_way.len());
            Ok::<_, io::Error>((worker.id, worker.unpack()?))
        });
        let workers = workers.collect::<io::Result<_>>()?;
        let PrimaryState { sequence, relay, .. } = state;
        // By what requests have owners comes from the next master's own options.
        Ok(PrimaryHandle::resume(Primary { listeners, servers, workers, turns, sequence, relay, affinity: None }))
    }
}

impl WorkerState {
    fn unpack(self) -> io::Result<Worker> {
        let pending = |(number, key, state): (_, _, PendingState)| Ok((number, (key, state.unpack()?)));
        let under_way = self.under_way.into_iter().map(pending).collect::<io::Result<_>>()?;
        // The way to it comes with its channel.
        let worker = Worker::new(Outbox::nowhere());
        Ok(Worker { under_way, meets: self.meets, preload: self.preload, slot: self.slot, ..worker })
    }
}

/// One worker's channel.
#[derive(Serialize, Deserialize)]
pub(in crate::workload) struct ChannelState {
    socket: Fd,
    read: Bytes,
    #[serde(default)]
    handles: Vec<Fd>,
    unwritten: Vec<(Bytes, Option<Fd>)>,
}

/// Its bytes may hold ticket keys.
impl fmt::Debug for ChannelState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, read, handles, unwritten } = self;
        let unwritten: Vec<_> = unwritten.iter().map(|(bytes, fd)| (Hidden(bytes), fd)).collect();
        let mut shown = formatter.debug_struct("ChannelState");
        shown.field("socket", socket).field("read", &Hidden(read)).field("handles", handles);
        shown.field("unwritten", &unwritten).finish()
    }
}

impl Channel {
    pub(in crate::workload) fn pack(&self) -> io::Result<ChannelState> {
        let line = |line: &Line| (line.bytes.clone(), line.fd.as_ref().map(Fd::shared));
        Ok(ChannelState {
            socket: Fd::duplicate(&self.socket)?,
            read: self.talk.read.clone().freeze(),
            handles: self.talk.handles.iter().map(Fd::duplicate).collect::<io::Result<_>>()?,
            unwritten: self.talk.unwritten.iter().map(line).collect(),
        })
    }

    pub(in crate::workload) fn unpack(state: ChannelState, primary: mpsc::Sender<ToPrimary>) -> io::Result<Channel> {
        let line =
            |(bytes, fd): (Bytes, Option<Fd>)| Ok(Line { bytes, fd: fd.map(Fd::into_shared).transpose()?, room: None });
        let unwritten = state.unwritten.into_iter().map(line).collect::<io::Result<_>>()?;
        let handles = state.handles.into_iter().map(Fd::into_owned).collect::<io::Result<_>>()?;
        let talk = Talk { read: state.read.into(), handles, unwritten };
        Ok(Channel::resume(state.socket.into_owned()?, primary, talk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn debug_shows_nothing_of_what_is_under_way() {
        let keys = b"{\"ticketKeys\":\"5e5e\"}\n";
        let line = Line { bytes: Bytes::from_static(keys), fd: None, room: None };
        let talk = Talk { read: keys[..].into(), handles: [].into(), unwritten: [line].into() };
        let (socket, _other) = sys::socket::pair().expect("a pair");
        let channel = Channel::resume(socket, mpsc::channel(1).0, talk);
        let state = channel.pack().expect("open");
        for shown in [format!("{channel:?}"), format!("{state:?}")] {
            assert!(shown.matches("22 bytes").count() == 2 && !shown.contains("5e5e"), "{shown}");
            // Bytes as numbers.
            assert!(!shown.contains("53, 101"), "{shown}");
        }
    }
}
