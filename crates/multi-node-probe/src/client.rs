//! One client of an HTTP server: request, answer, pause, and again.

use std::time::{Duration, Instant};

use crate::{
    connection::Connection, failure::Failure, kind::Kind, request::Requests, target::Target, task::Task, websocket,
};
use fastrand::Rng;

/// Makes one request as a client of this kind does, on a connection of its own.
///
/// # Errors
/// How it was lost.
pub async fn ask_once(target: &Target, requests: &dyn Requests, kind: Kind, patience: Duration) -> Result<(), Failure> {
    if kind == Kind::WebSocket {
        return websocket::ask_once(target, &requests.websocket(), patience).await;
    }
    let request = requests.next(kind, &mut Rng::new());
    Connection::open(target).await?.exchange(&request, kind.sending(), patience).await.map(drop)
}

/// Sends requests until it is stopped, and one more, which also tests a connection after a long pause.
pub(crate) async fn run(mut task: Task, mut rng: Rng) {
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
    let Task { kind, tally, .. } = task;
    let attempt = tally.begin(*kind);
    let start = Instant::now();
    let mut connection = match open(task, kept).await {
        Ok(connection) => connection,
        Err(failure) => {
            tally.lose(attempt, failure, start.elapsed(), None);
            return None;
        }
    };
    let sending = kind.sending();
    let answer = connection.exchange(&task.requests.next(*kind, rng), sending, task.patience).await;
    let waited = start.elapsed().saturating_sub(sending.own_time());
    match answer {
        Ok(stays) => {
            tally.answered_after(attempt, waited);
            if !stays && kind.keeps_connections() {
                tally.announced(*kind);
            }
            (stays && kind.keeps_connections()).then_some(connection)
        }
        Err(failure) => {
            tally.lose(attempt, failure, waited, Some((connection.port, connection.opened)));
            None
        }
    }
}

async fn open(task: &Task, kept: Option<Connection>) -> Result<Connection, Failure> {
    if let Some(mut connection) = kept {
        if !connection.has_ended() {
            return Ok(connection);
        }
        task.tally.closed_idle(task.kind);
    }
    Connection::open(&task.target).await
}
