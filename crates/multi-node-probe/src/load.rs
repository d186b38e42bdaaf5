//! All clients of a run, in a thread of their own.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::{runtime::Builder, sync::watch, task::JoinSet};

use crate::{
    client,
    kind::{Kind, Pace},
    request::Requests,
    tally::Tally,
    target::Target,
    task::{Ending, Stop, Task},
    websocket,
};

/// What clients there are, and what they do.
#[derive(Debug, Clone)]
pub struct Plan {
    pub target: Target,
    pub requests: Arc<dyn Requests>,
    pub clients: Vec<Clients>,
    /// How long a client waits for a whole answer.
    pub patience: Duration,
    /// What the clients' randomness begins with.
    pub seed: u64,
}

/// Clients of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients {
    pub kind: Kind,
    pub count: usize,
    pub pace: Pace,
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    tally: Tally,
    stop: watch::Sender<Ending>,
    thread: thread::JoinHandle<()>,
}

impl Load {
    /// Starts all clients.
    ///
    /// # Panics
    /// Where the system allows no further thread or runtime.
    pub fn start(plan: &Plan) -> Load {
        let tally = Tally::new();
        let (stop, stopped) = watch::channel(Ending::NotYet);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stopped = Stop(stopped);
        let clients = all(plan, &tally, &stopped);
        let thread = thread::Builder::new().name("clients".to_owned());
        let thread = thread.spawn(move || runtime.block_on(run(clients, stopped))).expect("a thread");
        Load { tally, stop, thread }
    }

    /// What the clients meet.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets each client make its last request, and waits for the answers.
    ///
    /// # Panics
    /// Where a client has panicked.
    pub fn end(self) -> Tally {
        self.stop_by(Ending::AfterOneMore)
    }

    /// Lets each client make its last request, without waiting.
    pub fn ask_to_end(&self) {
        self.stop.send_replace(Ending::AfterOneMore);
    }

    /// Resolves when all clients have ended. Cancel-safe.
    pub async fn ended(&self) {
        self.stop.closed().await;
    }

    /// Ends all clients at once. What they wait for is not counted.
    ///
    /// # Panics
    /// Where a client has panicked.
    pub fn end_at_once(self) -> Tally {
        self.stop_by(Ending::AtOnce)
    }

    fn stop_by(self, ending: Ending) -> Tally {
        self.stop.send_replace(ending);
        self.thread.join().expect("no client panics");
        self.tally
    }
}

fn all(plan: &Plan, tally: &Tally, stop: &Stop) -> Vec<(Task, Rng)> {
    let mut rng = Rng::with_seed(plan.seed);
    let mut clients = Vec::new();
    for &Clients { kind, count, pace } in &plan.clients {
        let task = || Task {
            target: plan.target.clone(),
            requests: plan.requests.clone(),
            kind,
            pace,
            due: Instant::now(),
            patience: plan.patience,
            tally: tally.clone(),
            stop: stop.clone(),
        };
        clients.extend(std::iter::repeat_with(|| (task(), rng.fork())).take(count));
    }
    clients
}

async fn run(clients: Vec<(Task, Rng)>, mut stop: Stop) {
    let mut running = JoinSet::new();
    for (task, rng) in clients {
        match task.kind {
            Kind::WebSocket => running.spawn(websocket::run(task, rng)),
            _ => running.spawn(client::run(task, rng)),
        };
    }
    let all_end = async {
        while let Some(ended) = running.join_next().await {
            ended.expect("no client panics");
        }
    };
    tokio::select! {
        () = all_end => {}
        () = stop.stopped_at_once() => {}
    }
}
