//! All clients of a run, in a thread of their own.

use std::{net::SocketAddr, thread, time::Duration};

use fastrand::Rng;
use tokio::{runtime::Builder, sync::watch, task::JoinSet};

use super::{
    client::{self, Task},
    kind::Kind,
    tally::Tally,
    websocket,
};

/// How many clients of each kind there are, and what they do.
#[derive(Debug, Clone)]
pub struct Plan {
    pub clients: Vec<(Kind, usize)>,
    /// The longest pause of pooled clients.
    pub longest_pause: Duration,
    /// How long a client waits for a whole answer.
    pub patience: Duration,
    /// What the clients' randomness begins with.
    pub seed: u64,
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    tally: Tally,
    stop: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
}

impl Load {
    /// Starts all clients.
    ///
    /// # Panics
    /// Where the system allows no further thread or runtime.
    pub fn start(address: SocketAddr, plan: &Plan) -> Load {
        let tally = Tally::new();
        let (stop, stopped) = watch::channel(false);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clients = all(plan, address, &tally, &Stop(stopped));
        let thread = thread::Builder::new().name("clients".to_owned());
        let thread = thread.spawn(move || runtime.block_on(run(clients))).expect("a thread");
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
        self.stop.send_replace(true);
        self.thread.join().expect("no client panics");
        self.tally
    }
}

fn all(plan: &Plan, address: SocketAddr, tally: &Tally, stop: &Stop) -> Vec<(Task, Rng)> {
    let mut rng = Rng::with_seed(plan.seed);
    let mut clients = Vec::new();
    for &(kind, count) in &plan.clients {
        let task = || Task {
            address,
            kind,
            longest_pause: plan.longest_pause,
            patience: plan.patience,
            tally: tally.clone(),
            stop: stop.clone(),
        };
        clients.extend(std::iter::repeat_with(|| (task(), rng.fork())).take(count));
    }
    clients
}

async fn run(clients: Vec<(Task, Rng)>) {
    let mut running = JoinSet::new();
    for (task, rng) in clients {
        match task.kind {
            Kind::WebSocket => running.spawn(websocket::run(task, rng)),
            _ => running.spawn(client::run(task, rng)),
        };
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no client panics");
    }
}

/// Tells the clients that it is time.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Resolves once it is. Cancel-safe.
    pub(super) async fn stopped(&mut self) {
        // Without a sender nobody could tell any more.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
