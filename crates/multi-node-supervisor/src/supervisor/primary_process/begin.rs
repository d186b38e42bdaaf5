//! When there is a primary process, and what it runs.

use std::io;
use std::sync::Arc;

use super::attend::{AttendConfig, PrimaryProcess};
use super::plan::Plan;
use super::running::Running;
use crate::id::Generation;
use crate::supervisor::foreign::Foreign;
use crate::supervisor::guard::Guard;
use crate::supervisor::members::Members;

impl Members {
    /// Starts the primary process, where the program has one; one that another master has left ends.
    pub(in crate::supervisor) fn start_primary(&mut self, held: Option<Running>) {
        let generation = self.template.foreign.as_ref().and_then(Foreign::newest);
        let Some(generation) = generation else { return };
        self.run_primary(generation, held);
    }

    /// Has the primary process run what this generation runs; one that another master has left ends.
    pub(in crate::supervisor) fn run_primary(&mut self, generation: Generation, held: Option<Running>) {
        let plan = self.plan(generation).unwrap_or_else(|error| {
            crate::log::error!(%error, "cannot start the primary process");
            None
        });
        if let Some(process) = &self.primary_process {
            return process.renew(plan);
        }
        if plan.is_none() && held.is_none() {
            return;
        }
        let given = self.template.sockets.first().map(Vec::as_slice).unwrap_or_default();
        let primary = self.template.foreign.as_mut().map(|foreign| foreign.primary_inbox(given));
        match primary {
            Some(Ok(primary)) => {
                let registry = self.guard.as_ref().map(Guard::registry);
                let (launch, backoff) = (self.launcher.launch.clone(), self.primary_backoff);
                let config = AttendConfig { primary, registry, launch, backoff };
                self.primary_process = Some(PrimaryProcess::start(config, plan, held));
            }
            Some(Err(error)) => crate::log::error!(%error, "cannot start the primary process"),
            None => {}
        }
    }

    fn plan(&self, generation: Generation) -> io::Result<Option<Arc<Plan>>> {
        let Some(program) = self.template.foreign.as_ref().and_then(|foreign| foreign.primary_program(generation))
        else {
            return Ok(None);
        };
        let launcher = self.launcher.alone(generation)?;
        Ok(Some(Arc::new(Plan { program, launcher, generation })))
    }
}
