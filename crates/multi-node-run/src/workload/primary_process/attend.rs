//! Attends to the primary process: starts it, restarts it when it has ended or has to run something else, and stops it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::pause::Ends;
use super::plan::Plan;
use super::running::Running;
use crate::id::NodeId;
use crate::status::Exit;
use crate::supervisor::Launch;
use crate::supervisor::Registry;
use crate::supervisor::TARGET;
use crate::supervisor::leader;
use crate::sys::signal::TERM;
use crate::workload::{OfProcess, ToPrimary};
use multi_node_fleet::fleet::Backoff;

/// How long it may live on after it has closed its channel.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// The way to the process.
#[derive(Debug)]
pub(in crate::workload) struct PrimaryProcess {
    config: AttendConfig,
    command: watch::Sender<Command>,
    task: Option<JoinHandle<Option<Running>>>,
    /// The process, while no task attends to it.
    pub(in crate::workload) held: Option<Running>,
}

/// What attending to it needs.
#[derive(Clone, Debug)]
pub(super) struct AttendConfig {
    /// The primary, which relays.
    pub(super) primary: mpsc::Sender<ToPrimary>,
    /// Names the process to the guard.
    pub(super) registry: Option<Registry>,
    pub(super) launch: Arc<dyn Launch>,
    pub(super) backoff: Backoff,
}

/// What to do.
#[derive(Clone, Debug)]
enum Command {
    /// Run this, or nothing.
    Run(Option<Arc<Plan>>),
    /// Suspend: nothing attends to it for now.
    Rest(Option<Arc<Plan>>),
    Leave,
}

impl Command {
    fn runs(&self, plan: &Arc<Plan>) -> bool {
        matches!(self, Command::Run(Some(wanted)) if Arc::ptr_eq(wanted, plan))
    }
}

impl PrimaryProcess {
    /// Starts it; one that another master has left is replaced.
    pub(super) fn start(config: AttendConfig, plan: Option<Arc<Plan>>, held: Option<Running>) -> PrimaryProcess {
        let mut process = PrimaryProcess { config, command: watch::Sender::new(Command::Rest(plan)), task: None, held };
        process.go_on();
        process
    }

    /// Runs this plan from now on.
    pub(super) fn renew(&self, plan: Option<Arc<Plan>>) {
        self.command.send_replace(Command::Run(plan));
    }

    /// Suspends it, so that the next master can continue.
    pub(in crate::workload) async fn rest(&mut self) {
        self.command.send_modify(|command| {
            if let Command::Run(plan) = command {
                *command = Command::Rest(plan.take());
            }
        });
        self.held = self.ended().await;
    }

    /// Attends to it, after a rest too.
    pub(in crate::workload) fn go_on(&mut self) {
        if self.task.is_some() {
            return;
        }
        self.command.send_modify(|command| {
            if let Command::Rest(plan) = command {
                *command = Command::Run(plan.take());
            }
        });
        let attendant = Attendant { config: self.config.clone(), command: self.command.subscribe() };
        self.task = Some(tokio::spawn(attendant.attend(self.held.take())));
    }

    /// Stops it: no node is left.
    pub(in crate::workload) async fn leave(mut self) {
        self.command.send_replace(Command::Leave);
        let held = self.ended().await.or(self.held.take());
        if let Some(running) = held {
            running.stop(&*self.config.launch).await;
        }
    }

    async fn ended(&mut self) -> Option<Running> {
        // An error would be a panic, which has been logged.
        self.task.take()?.await.ok().flatten()
    }
}

struct Attendant {
    config: AttendConfig,
    command: watch::Receiver<Command>,
}

impl Attendant {
    /// Returns the running process when it is suspended.
    async fn attend(mut self, mut held: Option<Running>) -> Option<Running> {
        let mut ends = Ends::default();
        loop {
            let command = self.command.borrow_and_update().clone();
            let plan = match command {
                Command::Run(plan) => plan,
                Command::Rest(_) => return held,
                Command::Leave => {
                    self.stop(held).await;
                    return None;
                }
            };
            let others = held.take_if(|running| !plan.as_ref().is_some_and(|plan| running.is_of(plan)));
            if others.is_some() {
                self.stop(others).await;
                ends = Ends::default();
            }
            self.tell(OfProcess::Expected(plan.is_some())).await;
            let Some(plan) = plan else {
                self.changed().await;
                continue;
            };
            let begun = Instant::now();
            let why = match self.run(&plan, &mut held).await {
                Ok(Some(exit)) => format!("ended with {exit}"),
                Ok(None) => continue,
                Err(error) => format!("could not be started: {error}"),
            };
            let pause = ends.one_more(begun.elapsed(), self.config.backoff);
            let when = if pause.is_zero() { "at once".to_owned() } else { format!("in {pause:.0?}") };
            crate::log::warn!(target: TARGET, "the primary process {why}; starting another {when}");
            // An error means that the process has to be started again.
            let _ = tokio::time::timeout(pause, self.changed()).await;
        }
    }

    /// Starts it where it does not run, and attends to it until its end; `None`: until something else is ordered.
    async fn run(&mut self, plan: &Arc<Plan>, held: &mut Option<Running>) -> io::Result<Option<Exit>> {
        let mut running = match held.take() {
            Some(running) => running,
            None => self.start(plan).await?,
        };
        let AttendConfig { primary, launch, .. } = self.config.clone();
        let mut talk = running.talk.take();
        let command = &mut self.command;
        let ordered = async {
            // An error means that the master ends, which the process notices.
            if command.wait_for(|command| !command.runs(plan)).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let talks = async {
            match &mut talk {
                Some(talk) => talk.converse(&primary).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            exit = running.end(&*launch) => Some(exit),
            () = ordered => None,
            talked = talks => Some(self.end_silent(&running, talked).await),
        };
        match ended {
            Some(exit) => {
                self.gone().await;
                exit.map(Some)
            }
            None => {
                *held = Some(Running { talk, ..running });
                Ok(None)
            }
        }
    }

    async fn start(&self, plan: &Arc<Plan>) -> io::Result<Running> {
        let running = plan.start().await?;
        let id = leader(running.pid);
        self.config.registry.iter().for_each(|registry| registry.add(NodeId::PRIMARY, (id, id), TERM));
        crate::log::info!(target: TARGET, pid = running.pid, "primary process started");
        Ok(running)
    }

    /// The end of one whose channel has closed or broken.
    async fn end_silent(&self, running: &Running, talked: io::Result<()>) -> io::Result<Exit> {
        let launch = &*self.config.launch;
        if let Ok(exit) = tokio::time::timeout(LAST_BREATH, running.end(launch)).await {
            return exit;
        }
        let why = talked.map_or_else(|error| error.to_string(), |()| "it has ended".to_owned());
        crate::log::warn!(target: TARGET, pid = running.pid, why, "cannot speak to the primary process; killing it");
        launch.end(&running.process, multi_node_fleet::fleet::Fatal::Kill)?;
        running.end(launch).await
    }

    /// Stops it. Workers' messages wait for the next one from now on; the guard knows of it until its end.
    async fn stop(&self, running: Option<Running>) {
        self.tell(OfProcess::Gone).await;
        if let Some(running) = running {
            running.stop(&*self.config.launch).await;
        }
        self.unregister();
    }

    /// It has ended.
    async fn gone(&self) {
        self.unregister();
        self.tell(OfProcess::Gone).await;
    }

    fn unregister(&self) {
        self.config.registry.iter().for_each(|registry| registry.remove(NodeId::PRIMARY));
    }

    async fn tell(&self, told: OfProcess) {
        // An error means that the master ends.
        let _ = self.config.primary.send(ToPrimary::OfProcess(told)).await;
    }

    /// Waits until something else is ordered. Cancel-safe.
    async fn changed(&mut self) {
        if self.command.changed().await.is_err() {
            // No command will come any more: the master ends.
            std::future::pending::<()>().await;
        }
    }
}
