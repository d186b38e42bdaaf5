//! Seeing from outside that a program serves.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sys;

/// How often it is looked at first, and how much less often each time.
const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_millis(200);

/// How often a node is looked at that was seen waiting, and so many looks in a row must miss it: it may be at work.
const AGAIN: Duration = Duration::from_millis(250);
const MISSES: u32 = 4;

/// Resolves once a process of the node waits for connections on one of these sockets.
pub(super) async fn waits_on_any(node: u32, sockets: &BTreeSet<u64>) {
    if sockets.is_empty() {
        return std::future::pending().await;
    }
    let mut pause = FIRST;
    while !waits(node, sockets) {
        tokio::time::sleep(pause).await;
        pause = LAST.min(pause * 3 / 2);
    }
}

/// Resolves once no process of the node waits any more, nor is at work, and says so.
pub(super) async fn lost(node: u32, sockets: &BTreeSet<u64>) -> String {
    let (mut misses, mut used) = (0, cpu(node));
    while misses < MISSES {
        tokio::time::sleep(AGAIN).await;
        let before = std::mem::replace(&mut used, cpu(node));
        misses = if waits(node, sockets) || used != before { 0 } else { misses + 1 };
    }
    "none of its processes waits for connections any more".to_owned()
}

/// The processor time that the node's processes have used.
fn cpu(node: u32) -> Duration {
    sys::process::family(node).into_iter().filter_map(sys::usage::cpu_of).sum()
}

fn waits(node: u32, sockets: &BTreeSet<u64>) -> bool {
    sys::process::family(node).into_iter().any(|pid| sys::observe::waits_on(pid, sockets))
}
