//! Both ends of a process's part in the program: what the program holds, and what the process's loop holds.

use std::sync::{Arc, OnceLock};

use multi_node_bus::{Bus, BusLimits};
use multi_node_process::process_links::{ProcessLinks, Snapshot};
use tokio::sync::{mpsc, watch};

use crate::bus_bounds::BusBounds;
use crate::exits::Exits;
use crate::id::{NodeId, Slot};
use crate::lease::{Leader, LeasePlace};
use crate::limits::SharedTable;
use crate::log_buffer::{Held, LogBuffer};
use crate::nodes::{Inner, Terminators};
use crate::options::Settings;
use crate::serve::{BusyHandoff, Drain, LoadTable, Owners, Socket};
use crate::shared_secret::SharedSecret;
use crate::{Handle, Nodes, lease};
use multi_node_process::mesh;

/// How many commands of the program may wait.
const COMMANDS: usize = 64;

/// What processes of the program that link the library go by.
pub(crate) fn bus_limits(settings: &Settings) -> BusLimits {
    BusBounds::from(settings).into()
}

/// Joins what the program gets with what its loop keeps.
pub(crate) fn wire(
    id: NodeId,
    slot: Option<Slot>,
    sockets: &[Vec<Socket>],
    (load, limits, bus, terminators): (&LoadTable, SharedTable, Bus, Terminators),
    (log_buffer, secret): (LogBuffer, Option<SharedSecret>),
    (owners, busy_handoff): (Option<Owners>, Option<Arc<BusyHandoff>>),
    lease_place: LeasePlace,
) -> (Nodes, ProcessLinks) {
    let (drain, draining) = Drain::new();
    let (peers, arrivals, rejoin) = mesh::arrivals();
    let (asks, asked) = mpsc::channel(COMMANDS);
    let (snapshot_sender, snapshot) = watch::channel(Snapshot::default());
    let (end_sender, end) = watch::channel(None);
    let exits = Exits::new();
    let (lease_sender, leases) = lease::requests();
    let handle = Handle::new(Inner {
        id,
        slot,
        addresses: sockets.iter().flatten().filter_map(|socket| socket.local_addr().ok()).collect(),
        names: sockets.iter().flatten().map(Socket::name).collect(),
        counts: sockets.iter().map(Vec::len).collect(),
        load: load.clone(),
        bus,
        follows_machines: OnceLock::new(),
        terminators,
        limits,
        leader: Leader::new(lease_sender, lease_place, draining.clone()),
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
        owners,
        busy_handoff,
    });
    let links =
        ProcessLinks { peers, asked, leases, snapshot: snapshot_sender, end: end_sender, exits, drain, draining };
    (Nodes::new(handle, arrivals), links)
}
