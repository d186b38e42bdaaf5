//! One client of an HTTP server: request, answer, pause, and again.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::time::sleep;

use super::{connection::Connection, failure::Failure, kind::Kind, load::Stop, tally::Tally};

/// What a client is told.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) address: SocketAddr,
    pub(super) kind: Kind,
    pub(super) longest_pause: Duration,
    /// How long a client waits for a whole answer.
    pub(super) patience: Duration,
    pub(super) tally: Tally,
    pub(super) stop: Stop,
}

impl Task {
    /// Waits until the next request is due; tells whether it is the client's last.
    pub(super) async fn pause(&mut self, rng: &mut Rng) -> bool {
        let pause = self.kind.pause(rng, self.longest_pause);
        tokio::select! {
            () = sleep(pause) => false,
            () = self.stop.stopped() => true,
        }
    }
}

/// Sends requests until it is told to stop, and one more, so that a connection is tried also after a long pause.
pub(super) async fn run(mut task: Task, mut rng: Rng) {
    let mut kept = None;
    let mut last = task.pause(&mut rng).await;
    loop {
        kept = request(&task, kept, &mut rng).await;
        if last {
            return;
        }
        last = task.pause(&mut rng).await;
    }
}

/// Makes one request on the kept connection, or on a new one; gives the connection back if it stays open.
async fn request(task: &Task, kept: Option<Connection>, rng: &mut Rng) -> Option<Connection> {
    let (Task { kind, tally, .. }, begun) = (task, task.tally.phase());
    let mut connection = match open(task, kept).await {
        Ok(connection) => connection,
        Err(failure) => {
            tally.lose(*kind, begun, failure, None);
            return None;
        }
    };
    let start = Instant::now();
    match connection.exchange(&kind.request(rng), task.patience).await {
        Ok(stays) => {
            tally.answered_after(*kind, begun, start.elapsed());
            if !stays && kind.keeps_connections() {
                tally.announced(*kind);
            }
            (stays && kind.keeps_connections()).then_some(connection)
        }
        Err(failure) => {
            tally.lose(*kind, begun, failure, Some((connection.port, connection.opened)));
            None
        }
    }
}

async fn open(task: &Task, kept: Option<Connection>) -> Result<Connection, Failure> {
    match kept {
        Some(connection) if !connection.has_ended() => Ok(connection),
        ended => {
            if ended.is_some() {
                task.tally.closed_idle(task.kind);
            }
            Connection::open(task.address).await
        }
    }
}
