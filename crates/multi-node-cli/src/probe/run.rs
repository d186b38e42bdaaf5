//! How a run goes: the server is tried, clients send, the command runs among them, and what they met is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use multi_node_probe::{Failure, Kind, Load, Mix, Plan, Tally, Target, Trust, Url, ask_once};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::Sent;
use super::command::{Ended, How, Running};
use super::progress::Progress;
use super::report::{LeftOut, Measured, Report};
use crate::exit::Usage;

/// The phases of a run with a command.
const BEFORE: &str = "before";
const DURING: &str = "during";
const AFTER: &str = "after";
/// The one phase of a run without.
const MEASURED: &str = "measured";

/// How often a kind of client is tried that a server need not serve.
const TRIES: usize = 3;

/// What to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) url: Url,
    pub(crate) trust: Trust,
    /// Whether another host than this one is allowed.
    pub(crate) remote: bool,
    pub(crate) sent: Sent,
    pub(crate) clients: Mix,
    /// Whether the user named the kinds of clients, so that none may be left out.
    pub(crate) all_kinds_named: bool,
    pub(crate) span: Span,
    /// How long a client waits for a whole answer.
    pub(crate) timeout: Duration,
    pub(crate) max_lost: u64,
}

/// How long a run lasts.
#[derive(Debug)]
pub(crate) enum Span {
    Time(Duration),
    Command { command: String, before: Duration, after: Duration, at_least: Duration, within: Duration },
}

/// A run under way.
struct Run<'a> {
    tally: &'a Tally,
    progress: &'a Progress,
    begun: Instant,
    phases: Vec<(&'static str, Instant)>,
    running: Option<Running>,
    command: Option<Ended>,
}

/// Measures; gives what was measured, also where Ctrl-C has ended it early.
pub(crate) async fn run(mut job: Job) -> Result<Report> {
    let (mut interrupted, progress) = (Interrupts::new()?, Progress::new());
    let (target, left_out) = tokio::select! {
        tried = try_server(&mut job) => tried?,
        () = interrupted.next() => return Err(anyhow!("interrupted before anything was measured")),
    };
    let clients = job.clients.shared_out();
    let requests = Arc::new(job.sent.clone());
    let plan = Plan { target, requests, clients, patience: job.timeout, seed: fastrand::u64(..) };
    let load = Load::start(&plan);
    let mut run = Run::new(load.tally(), &progress);
    let is_whole = tokio::select! {
        () = run.last(&job.span, &load) => true,
        () = interrupted.next() => false,
    };
    run.end_command().await;
    let (phases, command, begun) = (run.phases, run.command, run.begun);
    let ended = Instant::now();
    let tally = load.end_at_once();
    let measured = Measured { tally, phases, begun, ended, command, is_whole };
    Ok(Report::new(&job, &plan, left_out, &measured))
}

impl Run<'_> {
    fn new<'a>(tally: &'a Tally, progress: &'a Progress) -> Run<'a> {
        let (phases, running, command) = (Vec::new(), None, None);
        Run { tally, progress, begun: Instant::now(), phases, running, command }
    }

    /// Lasts as long as the run is to last, and until the last answers have come.
    async fn last(&mut self, span: &Span, load: &Load) {
        let (phase, time) = match span {
            Span::Time(time) => (MEASURED, *time),
            Span::Command { command, before, after, at_least, within } => {
                self.enter(BEFORE);
                self.progress.while_doing(self.tally, BEFORE, sleep(*before)).await;
                self.command(command, *within).await;
                let left = (self.begun + *at_least).saturating_duration_since(Instant::now());
                (AFTER, left.max(*after))
            }
        };
        self.enter(phase);
        let to_the_last_answer = async {
            sleep(time).await;
            load.ask_to_end();
            load.ended().await;
        };
        self.progress.while_doing(self.tally, phase, to_the_last_answer).await;
    }

    /// From now on, what is met is met in this phase.
    fn enter(&mut self, phase: &'static str) {
        self.tally.enter(phase);
        self.phases.push((phase, Instant::now()));
    }

    async fn command(&mut self, line: &str, within: Duration) {
        self.enter(DURING);
        self.progress.say(&format!("{DURING:<8} {line}"));
        let ended = match Running::start(line) {
            Ok(running) => self.running.insert(running).end(within).await,
            Err(ended) => ended,
        };
        self.running = None;
        self.command = Some(ended);
    }

    /// Ends the command where it still runs.
    async fn end_command(&mut self) {
        if let Some(mut running) = self.running.take() {
            self.command = Some(running.be_ended(How::Interrupted).await);
        }
    }
}

/// Finds the address that answers, and leaves out clients that it does not answer even while nothing is done to it.
async fn try_server(job: &mut Job) -> Result<(Target, Vec<LeftOut>)> {
    let targets = Target::all(&job.url, job.trust).await?;
    allow(job, &targets)?;
    let target = first_that_answers(job, targets).await?;
    let mut left_out = Vec::new();
    if job.clients.kinds.contains(&Kind::WebSocket) {
        let tried = ask_once(&target, &job.sent, Kind::WebSocket, job.timeout).await;
        tried.map_err(|failure| no_answer("the WebSocket", &failure))?;
    }
    let other = Kind::HalfClosing;
    if !job.all_kinds_named
        && let Err(failure) = one_of_tries(job, &target, other).await
    {
        job.clients.kinds.retain(|kind| *kind != other);
        left_out.push(LeftOut { kind: other, failure });
    }
    Ok((target, left_out))
}

/// No other host is measured by mistake.
fn allow(job: &Job, targets: &[Target]) -> Result<()> {
    let other = targets
        .iter()
        .map(|target| target.address)
        .find(|address: &SocketAddr| !address.ip().to_canonical().is_loopback());
    match other {
        Some(address) if !job.remote => {
            let host = &job.url.host;
            let text = format!(
                "{host} ({}) is not this host; --remote allows it, if you are responsible for it",
                address.ip()
            );
            Err(Usage(text).into())
        }
        _ => Ok(()),
    }
}

async fn first_that_answers(job: &Job, targets: Vec<Target>) -> Result<Target> {
    let mut failures = Vec::new();
    for target in targets {
        match ask_once(&target, &job.sent, Kind::New, job.timeout).await {
            Ok(()) => return Ok(target),
            Err(failure) => failures.push((target, failure)),
        }
    }
    let (target, failure) = failures.pop().ok_or_else(|| anyhow!("the host has no address"))?;
    Err(no_answer(&target.address.to_string(), &failure))
}

fn no_answer(what: &str, failure: &Failure) -> anyhow::Error {
    anyhow!("nothing is measured, since {what} does not answer as wanted before anything is done to it: {failure}")
}

async fn one_of_tries(job: &Job, target: &Target, kind: Kind) -> Result<(), Failure> {
    let mut tried = ask_once(target, &job.sent, kind, job.timeout).await;
    for _ in 1..TRIES {
        if tried.is_ok() {
            break;
        }
        tried = ask_once(target, &job.sent, kind, job.timeout).await;
    }
    tried
}

/// Ctrl-C, and SIGTERM.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> Result<Interrupts> {
        Ok(Interrupts { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Cancel-safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
