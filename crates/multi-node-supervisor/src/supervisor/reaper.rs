//! PID 1 in a container inherits every orphan, and has to reap them (pid_namespaces(7)), without taking the exit status
//! of children that the application itself waits for.
//!
//! The kernel does not distinguish an inherited child from the process's own. These signs do: an orphan of a node mostly is
//! in a process group of that node; an inherited process was seen under another parent before; and a child that its own
//! parent waits for is not left as a zombie for a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::signals::ChildSignal;
use crate::sys::process::{self, Entry};

/// How often processes are looked at, beside the moments at which one has ended.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A zombie that is still there after this time has no one who waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the reaper where this process is PID 1.
pub(super) fn start() {
    if std::process::id() != 1 {
        return;
    }
    match ChildSignal::install() {
        Ok(ended) => drop(tokio::spawn(run(ended))),
        Err(error) => crate::log::error!(%error, "cannot watch for orphans, which PID 1 has to reap"),
    }
}

async fn run(mut ended: ChildSignal) {
    let mut reaper = Reaper::default();
    loop {
        // An error means that the signal or the timer came first; either way it is time to look.
        let _ = tokio::time::timeout(LOOK_EVERY, ended.next()).await;
        let now = Instant::now();
        for pid in reaper.orphans(&process::all(), now.into_std()) {
            if let Err(error) = process::reap_orphan(pid) {
                crate::log::debug!(pid, %error, "the orphan was reaped by another");
            }
        }
    }
}

/// What has been seen of the container's processes.
#[derive(Debug, Default)]
struct Reaper {
    /// Those that had another parent once, and the group leaders that did.
    elsewhere: BTreeSet<u32>,
    /// Zombies of ours, and when they were first seen.
    zombies: BTreeMap<u32, std::time::Instant>,
}

impl Reaper {
    /// Zombies that may be reaped.
    fn orphans(&mut self, entries: &[Entry], now: std::time::Instant) -> Vec<u32> {
        let alive: BTreeSet<u32> = entries.iter().map(|entry| entry.pid).collect();
        self.elsewhere.retain(|pid| alive.contains(pid));
        self.zombies.retain(|pid, _| alive.contains(pid));
        self.elsewhere.extend(entries.iter().filter(|entry| entry.parent != 1).map(|entry| entry.pid));
        let mut orphans = Vec::new();
        for entry in entries.iter().filter(|entry| entry.zombie && entry.parent == 1) {
            let since = *self.zombies.entry(entry.pid).or_insert(now);
            // A group is named after the process that began it; one's own child leads its own or is in that of PID 1.
            let foreign_group = entry.group != entry.pid && entry.group > 1;
            if foreign_group || self.elsewhere.contains(&entry.pid) || now.duration_since(since) >= PATIENCE {
                orphans.push(entry.pid);
            }
        }
        orphans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zombie(pid: u32, group: u32) -> Entry {
        Entry { pid, parent: 1, group, session: group, start: 1, zombie: true }
    }

    #[test]
    fn orphans_are_told_from_own_children() {
        let start = std::time::Instant::now();
        let mut reaper = Reaper::default();
        let child = Entry { parent: 10, zombie: false, ..zombie(20, 20) };
        assert_eq!(reaper.orphans(&[child], start), [0; 0]);
        let seen = [zombie(10, 10), zombie(20, 20), zombie(21, 10), zombie(30, 1)];
        // 10 is a node or another child of ours, 30 is in our own group: both have a waiting parent.
        assert_eq!(reaper.orphans(&seen, start), [20, 21]);
        assert_eq!(reaper.orphans(&seen[3..], start + PATIENCE), [30]);
    }
}
