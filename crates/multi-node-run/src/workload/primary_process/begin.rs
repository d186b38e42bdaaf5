//! When there is a primary process, and what it runs.

use std::io;
use std::sync::Arc;

use super::attend::{AttendConfig, PrimaryProcess};
use super::plan::Plan;
use crate::id::Generation;
use crate::supervisor::Beside;
use crate::supervisor::Launcher;
use crate::workload::Foreign;

impl Foreign {
    /// Has the primary process run what this generation, or the newest, runs; one that another master has left ends.
    pub(in crate::workload) fn run_primary_process(&mut self, generation: Option<Generation>, beside: Beside<'_>) {
        let Beside { launcher, registry, backoff, given } = beside;
        let Some(generation) = generation.or_else(|| self.newest()) else { return };
        let plan = self.plan(generation, launcher).unwrap_or_else(|error| {
            crate::log::error!(%error, "cannot start the primary process");
            None
        });
        if let Some(process) = &self.primary_process {
            return process.renew(plan);
        }
        let held = self.held.take();
        if plan.is_none() && held.is_none() {
            return;
        }
        match self.primary_inbox(given) {
            Ok(primary) => {
                let config = AttendConfig { primary, registry, launch: launcher.launch.clone(), backoff };
                self.primary_process = Some(PrimaryProcess::start(config, plan, held));
            }
            Err(error) => crate::log::error!(%error, "cannot start the primary process"),
        }
    }

    fn plan(&self, generation: Generation, launcher: &Launcher) -> io::Result<Option<Arc<Plan>>> {
        let Some(program) = self.primary_program(generation) else { return Ok(None) };
        let launcher = launcher.alone(generation)?;
        Ok(Some(Arc::new(Plan { program, launcher, generation })))
    }
}
