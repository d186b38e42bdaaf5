//! Looks at the program for those outside: its status, and what its processes use of the machine.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use super::view::{Instance, Setting, Used};
use crate::Handle;
use multi_node_fleet::status::Status;

/// One look after the other at the same program; clones look at the same.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    pub(super) setting: Setting,
    pub(crate) handle: Handle,
    /// When the time of day of `setting.started` was taken. All later ones are counted from there, since the clock may be set.
    begun: Instant,
}

impl Observer {
    pub(crate) fn new(name: String, handle: Handle) -> Observer {
        let setting = Setting { name, pid: std::process::id(), started: SystemTime::now() };
        Observer { setting, handle, begun: Instant::now() }
    }

    /// How the program is now.
    pub(crate) async fn now(&self) -> Instance {
        self.shown(self.handle.status()).await
    }

    /// The instance to show for a status that was just read.
    pub(crate) async fn shown(&self, status: Status) -> Instance {
        let used = usage(status.slots.iter().filter_map(|slot| slot.pid).collect()).await;
        let now = self.setting.started + self.begun.elapsed();
        Instance::of(&self.setting, self.handle.served(), &status, now, |slot| Used {
            output_held: slot.id.is_some_and(|id| self.handle.holds_output(id)),
            ..slot.pid.and_then(|pid| used.get(&pid).copied()).unwrap_or_default()
        })
    }
}

/// What processes use. Looking at their memory takes some milliseconds each, in which the runtime must not wait.
#[cfg(multi_process)]
async fn usage(pids: Vec<u32>) -> BTreeMap<u32, Used> {
    let used = |pid: u32| {
        let usage = crate::sys::usage::usage(pid);
        let cpu_ms = usage.cpu.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        (pid, Used { cpu_ms, pss_bytes: usage.memory, ..Used::default() })
    };
    // It fails only where the runtime ends.
    tokio::task::spawn_blocking(move || pids.into_iter().map(used).collect()).await.unwrap_or_default()
}

#[cfg(not(multi_process))]
#[expect(clippy::unused_async, reason = "it is not known here")]
async fn usage(_: Vec<u32>) -> BTreeMap<u32, Used> {
    BTreeMap::new()
}
