//! The two ends of a process's part in the program: what the program holds, and what the process's loop holds. And where
//! `serve` and `control` meet: what the one calls a socket, and how the other names it.

#[cfg(multi_process)]
use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, watch};

#[cfg(multi_process)]
use crate::control::SocketKind;
use crate::exits::Exits;
use crate::log_buffer::{Held, LogBuffer};
use crate::mesh::{self, Peers};
use crate::nodes::{Ask, End, Inner, Snapshot};
use crate::serve::{Drain, DrainSignal, LoadTable, Socket};
use crate::{Handle, NodeId, Nodes, SharedSecret, Slot};

/// How many orders of the program may wait.
const ORDERS: usize = 64;

/// The loop's ends.
pub(crate) struct Wires {
    pub(crate) peers: Peers,
    pub(crate) asked: mpsc::Receiver<Ask>,
    pub(crate) snapshot: watch::Sender<Snapshot>,
    pub(crate) end: watch::Sender<Option<End>>,
    pub(crate) exits: Exits,
    pub(crate) drain: Drain,
    pub(crate) draining: DrainSignal,
}

/// Joins what the program gets with what its loop keeps.
pub(crate) fn wire(
    id: NodeId,
    slot: Option<Slot>,
    sockets: &[Vec<Socket>],
    load: &LoadTable,
    log_buffer: LogBuffer,
    secret: Option<SharedSecret>,
) -> (Nodes, Wires) {
    let (drain, draining) = Drain::new();
    let (peers, arrivals, rejoin) = mesh::arrivals();
    let (asks, asked) = mpsc::channel(ORDERS);
    let (snapshot_sender, snapshot) = watch::channel(Snapshot::default());
    let (end_sender, end) = watch::channel(None);
    let exits = Exits::new();
    let handle = Handle::new(Inner {
        id,
        slot,
        addresses: sockets.iter().flatten().filter_map(|socket| socket.local_addr().ok()).collect(),
        names: sockets.iter().flatten().map(Socket::name).collect(),
        counts: sockets.iter().map(Vec::len).collect(),
        load: load.clone(),
        snapshot,
        joined: peers.watch(),
        rejoin,
        drain: draining.clone(),
        end,
        exits: exits.clone(),
        asks,
        log_buffer,
        held: Held::default(),
        secret,
    });
    let wires = Wires { peers, asked, snapshot: snapshot_sender, end: end_sender, exits, drain, draining };
    (Nodes::new(handle, arrivals), wires)
}

/// A listening socket as it arrived from another process.
#[cfg(multi_process)]
pub(crate) fn adopt(kind: SocketKind, fd: OwnedFd) -> Socket {
    match kind {
        SocketKind::Tcp => Socket::Tcp(fd.into()),
        SocketKind::Unix => Socket::Unix(fd.into()),
    }
}

/// What other processes have to know of a listening socket.
#[cfg(multi_process)]
pub(crate) fn kind(socket: &Socket) -> SocketKind {
    match socket {
        Socket::Tcp(_) => SocketKind::Tcp,
        Socket::Unix(_) => SocketKind::Unix,
    }
}
