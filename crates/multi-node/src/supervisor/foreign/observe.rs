//! Seeing from outside that a program serves.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sys;

/// How often it is looked at first, and how much less often each time.
const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_millis(200);

/// Resolves once a process of the node waits for connections on one of these sockets.
pub(super) async fn waits_on_any(node: u32, sockets: &BTreeSet<u64>) {
    if sockets.is_empty() {
        return std::future::pending().await;
    }
    let mut pause = FIRST;
    while !sys::process::family(node).into_iter().any(|pid| sys::observe::waits_on(pid, sockets)) {
        tokio::time::sleep(pause).await;
        pause = LAST.min(pause * 3 / 2);
    }
}
