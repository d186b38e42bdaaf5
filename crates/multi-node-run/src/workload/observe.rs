//! Seeing from outside whether a node serves, and if not, what it does instead.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::ProcessEvent;
use super::advice::{self, Advice};
use super::process_monitor::{ProcessEvents, Signs};
use super::suspicion::{Seen, Suspicion};
use crate::sys;
use crate::sys::observe::Hidden;

/// How often it is looked at first, and how much less often each time. A node that served and ended between two looks was never
/// seen ready.
const FIRST: Duration = Duration::from_millis(10);
const LAST: Duration = Duration::from_millis(50);

/// How often it is looked for what it does instead.
const INSTEAD: Duration = Duration::from_millis(500);

/// How often a node is looked at that was seen waiting, and how many looks in a row must miss it.
const AGAIN: Duration = Duration::from_millis(250);
const MISSES: u32 = 4;

/// What to do where it cannot be seen whether a node serves.
const RULES: &str = "so it cannot be seen whether it waits for connections; say how it is known that a node is ready: \
    --ready=notify (by READY=1, or the newline of --ready-fd), --ready-http PATH (by an answer on {node_port}), or --ready=age \
    (by its age)";

/// One look at a node's processes.
enum Look {
    /// One waits for connections, or has one that it has accepted.
    Waits,
    Misses {
        family: Vec<u32>,
        /// Those that we may not look at.
        hidden: Vec<Hidden>,
    },
}

impl Look {
    fn at(node: u32, sockets: &BTreeSet<u64>) -> Look {
        let (family, mut hidden) = (sys::process::family(node), Vec::new());
        for &pid in &family {
            match sys::observe::waits_on(pid, sockets) {
                Ok(true) => return Look::Waits,
                // One that is busy without a pause for clients that wait already is never seen waiting.
                Ok(false) if sys::observe::serves(pid, sockets) => return Look::Waits,
                Ok(false) => {}
                Err(reason) => hidden.push(reason),
            }
        }
        Look::Misses { family, hidden }
    }
}

/// Resolves once a process of the node waits for connections, or has one. Until then it reports what is missing, and when
/// this node clearly will never serve. `explains`: whether to report the latter here.
pub(super) async fn serves(signs: &Signs, explains: bool, notes: &ProcessEvents) {
    if signs.sockets.is_empty() {
        return std::future::pending().await;
    }
    let (mut pause, mut looked) = (FIRST, Instant::now());
    let (mut suspicion, mut told) = (Suspicion::default(), String::new());
    while let Look::Misses { family, hidden } = Look::at(signs.pid, &signs.sockets) {
        if explains && looked.elapsed() >= INSTEAD {
            looked = Instant::now();
            let instead = Instead::of(signs, &family);
            let lacks = lacks(signs, instead.as_ref(), &hidden);
            if suspicion.is_certain(looked, &seen(instead.as_ref(), &family, &hidden)) {
                notes.tell(ProcessEvent::Hopeless(lacks)).await;
                return std::future::pending().await;
            }
            if told != lacks {
                told.clone_from(&lacks);
                notes.tell(ProcessEvent::Lacks(lacks)).await;
            }
        }
        tokio::time::sleep(pause).await;
        pause = LAST.min(pause * 3 / 2);
    }
}

/// Resolves once no process of the node waits for connections, has any, or is at work. Returns the reason as text.
pub(super) async fn lost(signs: &Signs) -> String {
    let (mut misses, mut used) = (0, cpu(&sys::process::family(signs.pid)));
    while misses < MISSES {
        tokio::time::sleep(AGAIN).await;
        misses = match Look::at(signs.pid, &signs.sockets) {
            // It is ending: its first thread has no descriptors any more, and others may still wait for a processor to end too.
            // Its exit says why.
            Look::Misses { .. } if !sys::process::exists(signs.pid) => 0,
            Look::Misses { family, hidden } if hidden.is_empty() => {
                let before = std::mem::replace(&mut used, cpu(&family));
                if used == before { misses + 1 } else { 0 }
            }
            Look::Misses { .. } | Look::Waits => 0,
        };
    }
    format!("none of its processes waits for connections on {} any more", signs.addresses.join(", "))
}

/// The processor time that these processes have used.
fn cpu(family: &[u32]) -> Duration {
    family.iter().filter_map(|pid| sys::usage::cpu_of(*pid)).sum()
}

/// What is lacking until the node is ready, before it has been looked at.
pub(super) fn nobody_waits(signs: &Signs) -> String {
    format!("nobody waits for connections on {}", signs.addresses.join(", "))
}

/// A process of the node listens on another address.
struct Instead {
    pid: u32,
    name: String,
    address: String,
    /// Whether that process waits for connections there.
    waits: bool,
    advice: Advice,
}

impl Instead {
    fn of(signs: &Signs, family: &[u32]) -> Option<Instead> {
        let listens = |&pid: &u32| {
            let is_other = |listener: &sys::observe::Listener| {
                !signs.sockets.contains(&listener.inode) && !is_node_port(&listener.address, signs.node_port)
            };
            sys::observe::listeners(pid).into_iter().find(is_other).map(|listener| (pid, listener))
        };
        // The last is the youngest: what was started to serve, and not what has started it.
        let (pid, listener) = family.iter().rev().find_map(listens)?;
        let mut commands: Vec<_> = family.iter().map(|pid| sys::observe::command_line(*pid)).collect();
        commands.insert(0, signs.words.clone());
        let advice = advice::advice(&commands);
        Some(Instead {
            pid,
            name: advice.server.map_or_else(|| sys::process::name_of(pid), str::to_owned),
            waits: sys::observe::waits_on(pid, &BTreeSet::from([listener.inode])).unwrap_or(false),
            address: listener.address,
            advice,
        })
    }
}

/// A port that the node was given for itself, and may serve what it likes on.
fn is_node_port(address: &str, port: Option<u16>) -> bool {
    port.is_some_and(|port| address.rsplit(':').next() == Some(&port.to_string()))
}

fn lacks(signs: &Signs, instead: Option<&Instead>, hidden: &[Hidden]) -> String {
    let nobody = nobody_waits(signs);
    match (instead, hidden.first()) {
        (Some(Instead { pid, name, address, advice, .. }), _) => {
            format!("{nobody}; {name} ({pid}) listens on {address} instead: {advice}")
        }
        (None, Some(hidden)) => format!("{hidden}, {RULES}"),
        (None, None) => nobody,
    }
}

fn seen(instead: Option<&Instead>, family: &[u32], hidden: &[Hidden]) -> Seen {
    Seen {
        is_hidden: hidden.len() == family.len(),
        is_mistaken: instead.is_some_and(|instead| instead.advice.is_certain),
        waits_elsewhere: instead.is_some_and(|instead| instead.waits),
        cpu: cpu(family),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::program::Readiness;

    /// The signs of a process that does not wait for connections.
    fn signs(pid: u32) -> Signs {
        let (sockets, addresses, words) = (BTreeSet::from([u64::MAX]), vec!["a".to_owned()], Vec::new());
        let (readiness, slot, node_port) = (Readiness::Auto, None, None);
        Signs { pid, slot, readiness, ready_after: None, node_port, sockets, addresses, words }
    }

    async fn is_lost(pid: u32) -> bool {
        tokio::time::timeout(Duration::from_secs(60), lost(&signs(pid))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_ended_is_left_to_its_end() {
        let mut lives = Command::new("sleep").arg("1000").spawn().expect("sleep starts");
        assert!(is_lost(lives.id()).await);
        lives.kill().expect("ours");
        while sys::process::exists(lives.id()) {
            std::thread::yield_now();
        }
        assert!(!is_lost(lives.id()).await, "it is not reaped yet");
        lives.wait().expect("ours");
    }
}
