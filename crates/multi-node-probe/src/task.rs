//! The work of one client, and when it stops.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::{sync::watch, time::sleep_until};

use crate::{
    kind::{Kind, Pace},
    request::Requests,
    tally::Tally,
    target::Target,
};

/// What a client does.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) target: Target,
    pub(crate) requests: Arc<dyn Requests>,
    pub(crate) kind: Kind,
    pub(crate) pace: Pace,
    /// When its last request was due.
    pub(crate) due: Instant,
    /// How long a client waits for a whole answer.
    pub(crate) patience: Duration,
    pub(crate) tally: Tally,
    pub(crate) stop: Stop,
}

impl Task {
    /// Waits until the next request is due; returns whether it is the client's last.
    pub(crate) async fn pause(&mut self, rng: &mut Rng) -> bool {
        let (pause, now) = (self.pace.pause(self.kind, rng), Instant::now());
        // A pace is kept however long an answer took, unless that was more than a pause.
        let begun = if let Pace::About(_) = self.pace { self.due } else { now };
        self.due = now.max(begun + pause);
        tokio::select! {
            () = sleep_until(self.due.into()) => false,
            () = self.stop.stopped() => true,
        }
    }
}

/// Whether clients have to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    NotYet,
    AfterOneMore,
    AtOnce,
}

/// Signals the end to the clients.
#[derive(Debug, Clone)]
pub(crate) struct Stop(pub(crate) watch::Receiver<Ending>);

impl Stop {
    /// Resolves once clients have to make their last request. Cancel-safe.
    pub(crate) async fn stopped(&mut self) {
        // An error means that the sender is gone.
        let _ = self.0.wait_for(|ending| *ending != Ending::NotYet).await;
    }

    pub(crate) async fn stopped_at_once(&mut self) {
        if self.0.wait_for(|ending| *ending == Ending::AtOnce).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
