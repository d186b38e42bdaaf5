//! The guard: a small process beside the master. It waits for the master's death and then ends the processes that are left.
//!
//! It holds only one pipe, by which the master names the nodes to it. The pipe ends with the master. The guard takes no
//! requests.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::ending::Ending;
use super::kinship;
use super::look::{self, EMPTY_LOOKS};
use super::message::{Family, LONGEST, Lines, ToGuard};
use super::token::{ProcessId, Run};
use crate::id::NodeId;
use crate::sys::signal::TERM;
use crate::{Error, sys};

/// What `ps` shows.
const NAME: &str = "mn-guard";

/// Processes of a node without further information have this long to finish.
const PATIENCE: Duration = Duration::from_secs(5);

/// What has not ended so long after the last deadline hangs in the kernel, or is not ours to kill.
const GIVE_UP: Duration = Duration::from_secs(10);

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Guards the nodes of this run to its end. Returns the error to exit with.
pub fn guard(run: &Run) -> Error {
    if let Err(error) = prepare() {
        return Error::Io { action: "prepare the guard", source: error };
    }
    let (mut nodes, mut lines) = (BTreeMap::new(), Lines::default());
    let mut bytes = [0; LONGEST];
    loop {
        let read = match io::stdin().lock().read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => &bytes[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for message in lines.read(read) {
            if message == ToGuard::Leave {
                return Error::MasterGone;
            }
            message.apply(&mut nodes);
        }
    }
    Ends::new(run, nodes).bring_about();
    Error::MasterGone
}

/// Signals that are meant for the master, and may reach its whole session, do not end its guard.
fn prepare() -> io::Result<()> {
    sys::exec::hold_signals()?;
    sys::family::close_inherited()?;
    sys::process::set_name(NAME)
}

/// The ends of all nodes.
struct Ends<'a> {
    run: &'a Run,
    nodes: BTreeMap<NodeId, Family>,
    begun: Instant,
    endings: BTreeMap<NodeId, Ending>,
}

impl Ends<'_> {
    fn new(run: &Run, nodes: BTreeMap<NodeId, Family>) -> Ends<'_> {
        Ends { run, nodes, begun: Instant::now(), endings: BTreeMap::new() }
    }

    fn bring_about(&mut self) {
        let last = self.nodes.values().map(Family::within).max().unwrap_or_default().max(PATIENCE) + GIVE_UP;
        let mut empty = 0;
        while self.begun.elapsed() < last && empty < EMPTY_LOOKS {
            let looked = Instant::now();
            empty = if self.step() { empty + 1 } else { 0 };
            std::thread::sleep(LOOK_EVERY.max(look::pause(looked.elapsed())));
        }
    }

    /// Looks, and signals. Returns whether no process is left.
    fn step(&mut self) -> bool {
        let leaders: BTreeMap<NodeId, ProcessId> = self.nodes.iter().map(|(id, family)| (*id, family.leader)).collect();
        let families = kinship::families(&look::processes(), self.run, &leaders, std::process::id());
        let now = Instant::now();
        for (id, left) in &families {
            let family = self.nodes.get(id);
            let ending = ending(&mut self.endings, self.begun, *id, family);
            let stop = family.map_or(TERM, |family| family.stop_signal);
            for (process, command) in ending.step(now, left, family.map(|family| family.main)) {
                // It may be another user's. There is no one to report to; the next look shows the result.
                let _ = look::signal(process, command.signal(stop));
            }
        }
        // The number of a group without processes may become another's.
        self.nodes.retain(|id, _| families.contains_key(id));
        families.is_empty()
    }
}

fn ending<'a>(
    endings: &'a mut BTreeMap<NodeId, Ending>,
    begun: Instant,
    id: NodeId,
    family: Option<&Family>,
) -> &'a mut Ending {
    endings.entry(id).or_insert_with(|| Ending::new(begun + family.map_or(PATIENCE, Family::within)))
}
