//! The board: how the nodes are, put into words once for all visitors of this process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::ws::Utf8Bytes;
use multi_node::status::SlotStatus;
use multi_node::{Handle, Status};
use serde::Serialize;
use tokio::sync::watch;

use crate::room::Room;
use crate::visit::ToPage;

/// Fast enough for eyes, and a bound on what a busy fleet costs each visitor.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// Pages take a longer silence for a node that hangs.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

#[derive(Serialize)]
pub(crate) struct Entry {
    slot: usize,
    id: Option<String>,
    pid: Option<u32>,
    state: String,
    since: u64,
    generation: u32,
    restarts: u64,
    connections: u64,
    requests: u64,
    in_flight: u64,
    last_exit: Option<String>,
}

/// What the board says now and from now on.
pub(crate) fn put_up(node: Handle, room: Room) -> watch::Receiver<Utf8Bytes> {
    let (board, reader) = watch::channel(text(&node.status(), 0));
    tokio::spawn(keep(node, room, board));
    reader
}

async fn keep(node: Handle, room: Room, board: watch::Sender<Utf8Bytes>) {
    let mut fleet = node.watch();
    loop {
        tokio::select! {
            status = fleet.next() => if status.is_none() { return },
            () = tokio::time::sleep(AT_LEAST_EVERY) => {}
        }
        board.send_replace(text(&node.status(), room.visitors().await));
        tokio::time::sleep(AT_MOST_EVERY).await;
    }
}

fn text(status: &Status, visitors: usize) -> Utf8Bytes {
    let slots = status.slots.iter().map(entry).collect();
    ToPage::Status { now: millis(SystemTime::now()), wanted: status.wanted, slots, visitors }.text()
}

fn entry(status: &SlotStatus) -> Entry {
    Entry {
        slot: status.slot.index(),
        id: status.id.map(|id| id.to_string()),
        pid: status.pid,
        state: status.state.to_string(),
        since: millis(status.since),
        generation: status.generation.number(),
        restarts: status.restarts,
        connections: status.connections,
        requests: status.requests,
        in_flight: status.in_flight,
        last_exit: status.last_exit.map(|exit| exit.to_string()),
    }
}

/// Milliseconds since 1970, as JavaScript counts.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
