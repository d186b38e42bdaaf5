//! The primary and the channels, as they travel to the next master.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::channel::{Channel, Talk};
use super::listeners::Listeners;
use super::message::ServerData;
use super::moving::{Holder, Pending};
use super::outbox::{Line, Outbox};
use super::primary::{Office, Primary, Server, ToPrimary, Worker};
use super::relay::Relay;
use super::turns::Turns;
use crate::control::SocketKind;
use crate::id::NodeId;
use crate::serve::Socket;
use crate::shared_secret::Hidden;
use crate::supervisor::upgrade::{Arrived, Luggage, Passed};
use crate::wires;

/// What a primary has.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor::foreign) struct PrimaryState {
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
    /// What the primary process is told of the workers.
    #[serde(default)]
    relay: Relay,
}

#[derive(Debug, Serialize, Deserialize)]
struct ServerState {
    key: String,
    socket: (SocketKind, Passed),
    name: Option<Value>,
    #[serde(default)]
    data: Option<ServerData>,
    workers: BTreeSet<NodeId>,
    waiting: Vec<PendingState>,
}

/// A connection that no worker has taken yet.
#[derive(Debug, Serialize, Deserialize)]
struct PendingState(Passed, Option<Holder>);

impl PendingState {
    fn pack<'a>(pending: &'a Pending, luggage: &mut Luggage<'a>) -> PendingState {
        PendingState(luggage.add(pending.stream.as_fd()), pending.holder.clone())
    }

    fn unpack(self, arrived: &mut Arrived) -> io::Result<Pending> {
        let PendingState(stream, holder) = self;
        Ok(Pending { stream: shared(stream, arrived)?, holder })
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
}

impl Office {
    /// `None` of a primary that does not rest.
    pub(in crate::supervisor::foreign) fn pack<'a>(&'a self, luggage: &mut Luggage<'a>) -> Option<PrimaryState> {
        let Primary { listeners, servers, workers, sequence, relay, .. } = self.resting()?;
        let servers = servers.iter().map(|(key, server)| ServerState {
            key: key.clone(),
            socket: (wires::kind(&server.socket), luggage.add(server.socket.as_fd())),
            name: server.name.clone(),
            data: server.data.clone(),
            workers: server.workers.clone(),
            waiting: server.waiting.iter().map(|pending| PendingState::pack(pending, luggage)).collect(),
        });
        let servers = servers.collect();
        let workers = workers.iter().map(|(id, worker)| WorkerState {
            id: *id,
            under_way: worker
                .under_way
                .iter()
                .map(|(number, (key, pending))| (*number, key.clone(), PendingState::pack(pending, luggage)))
                .collect(),
            meets: worker.meets,
            preload: worker.preload,
        });
        let workers = workers.collect();
        let Listeners { mapped, files, backlog, bound, .. } = listeners;
        let (mapped, files, backlog, bound) = (*mapped, files.clone(), *backlog, bound.borrow().clone());
        let (sequence, relay) = (*sequence, relay.clone());
        Some(PrimaryState { mapped, bound, files, servers, workers, sequence, backlog, relay })
    }

    pub(in crate::supervisor::foreign) fn unpack(
        state: PrimaryState,
        given: Vec<Socket>,
        arrived: &mut Arrived,
    ) -> io::Result<Office> {
        let mut listeners = Listeners::new(given, state.backlog);
        (listeners.mapped, listeners.files) = (state.mapped, state.files);
        listeners.bound.send_replace(state.bound);
        let servers = state.servers.into_iter().map(|server| {
            let (kind, socket) = server.socket;
            let mut unpacked = Server::new(wires::adopt(kind, arrived.take(socket)?), server.name);
            (unpacked.data, unpacked.workers) = (server.data, server.workers);
            unpacked.waiting =
                server.waiting.into_iter().map(|pending| pending.unpack(arrived)).collect::<io::Result<_>>()?;
            Ok::<_, io::Error>((server.key, unpacked))
        });
        let servers = servers.collect::<io::Result<_>>()?;
        let mut turns = Turns::default();
        let workers = state.workers.into_iter().map(|worker| {
            turns.resume(worker.id, worker.under_way.len());
            Ok::<_, io::Error>((worker.id, worker.unpack(arrived)?))
        });
        let workers = workers.collect::<io::Result<_>>()?;
        let PrimaryState { sequence, relay, .. } = state;
        Ok(Office::resume(Primary { listeners, servers, workers, turns, sequence, relay }))
    }
}

impl WorkerState {
    fn unpack(self, arrived: &mut Arrived) -> io::Result<Worker> {
        let mut pending = |(number, key, state): (_, _, PendingState)| Ok((number, (key, state.unpack(arrived)?)));
        let under_way = self.under_way.into_iter().map(&mut pending).collect::<io::Result<_>>()?;
        // The way to it comes with its channel.
        let worker = Worker::new(Outbox::nowhere());
        Ok(Worker { under_way, meets: self.meets, preload: self.preload, ..worker })
    }
}

fn shared(fd: Passed, arrived: &mut Arrived) -> io::Result<Arc<OwnedFd>> {
    arrived.take(fd).map(Arc::new)
}

/// One worker's channel.
#[derive(Serialize, Deserialize)]
pub(in crate::supervisor::foreign) struct ChannelState {
    socket: Passed,
    read: Bytes,
    #[serde(default)]
    handles: Vec<Passed>,
    unwritten: Vec<(Bytes, Option<Passed>)>,
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
    pub(in crate::supervisor::foreign) fn pack<'a>(&'a self, luggage: &mut Luggage<'a>) -> ChannelState {
        let socket = luggage.add(self.socket.as_fd());
        let mut line = |line: &'a Line| (line.bytes.clone(), line.fd.as_ref().map(|fd| luggage.add(fd.as_fd())));
        let unwritten = self.talk.unwritten.iter().map(&mut line).collect();
        let handles = self.talk.handles.iter().map(|handle| luggage.add(handle.as_fd())).collect();
        ChannelState { socket, read: self.talk.read.clone().freeze(), handles, unwritten }
    }

    pub(in crate::supervisor::foreign) fn unpack(
        state: ChannelState,
        primary: mpsc::Sender<ToPrimary>,
        arrived: &mut Arrived,
    ) -> io::Result<Channel> {
        let socket = arrived.take(state.socket)?;
        let mut line = |(bytes, fd): (Bytes, Option<Passed>)| {
            Ok(Line { bytes, fd: fd.map(|fd| shared(fd, arrived)).transpose()?, room: None })
        };
        let unwritten = state.unwritten.into_iter().map(&mut line).collect::<io::Result<_>>()?;
        let handles = state.handles.into_iter().map(|handle| arrived.take(handle)).collect::<io::Result<_>>()?;
        Ok(Channel::resume(socket, primary, Talk { read: state.read.into(), handles, unwritten }))
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
        let state = channel.pack(&mut Luggage::default());
        for shown in [format!("{channel:?}"), format!("{state:?}")] {
            assert!(shown.matches("22 bytes").count() == 2 && !shown.contains("5e5e"), "{shown}");
            // Bytes as numbers.
            assert!(!shown.contains("53, 101"), "{shown}");
        }
    }
}
