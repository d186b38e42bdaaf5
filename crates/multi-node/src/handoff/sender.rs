//! The draining side: each idle connection goes to the first successor that takes it.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::link::{Link, Links, PATIENCE};
use crate::id::NodeId;
use crate::serve::IdleConn;

/// How long a connection waits for new successors, or for a stuck one to continue, after its successors have died, drain or stand
/// still. A slot's next node takes less. A request that comes on it meanwhile waits as well.
const HOLD: Duration = Duration::from_secs(5);

/// The successors, rank by rank.
type Ranks = Arc<Vec<Vec<Link>>>;

/// Who takes the connections of this node.
#[derive(Debug)]
pub(crate) struct Successors(Naming);

#[derive(Debug)]
enum Naming {
    /// That is not known yet. Until it is they wait.
    Unnamed(mpsc::Receiver<IdleConn>),
    Named(watch::Sender<Ranks>),
    Nobody,
}

impl Successors {
    /// For what comes out of this process's servers when they drain.
    pub(crate) fn of(handoff_sender: mpsc::Receiver<IdleConn>) -> Successors {
        Successors(Naming::Unnamed(handoff_sender))
    }

    /// Sets the successors, rank by rank; those of one rank take turns. No rank: there will be no successors any more. Ranks
    /// without nodes: there will be successors, which a later call names.
    ///
    /// Without successors the sender is closed. Servers see that at once, and then send `Connection: close`.
    pub(crate) fn set_successors(&mut self, links: &Links, ids: &[Vec<NodeId>]) {
        let ranks: Ranks = Arc::new(ids.iter().map(|rank| links.to(rank)).filter(|rank| !rank.is_empty()).collect());
        self.0 = match mem::replace(&mut self.0, Naming::Nobody) {
            Naming::Unnamed(handoff_sender) if ranks.is_empty() && !are_to_come(ids) => {
                close_all(handoff_sender);
                Naming::Nobody
            }
            Naming::Unnamed(handoff_sender) => {
                let (sender, named) = watch::channel(ranks);
                tokio::spawn(give_all(handoff_sender, named));
                Naming::Named(sender)
            }
            Naming::Named(named) if !ids.is_empty() => {
                named.send_replace(ranks);
                Naming::Named(named)
            }
            // Without the sender no connection waits for other successors.
            Naming::Named(_) | Naming::Nobody => Naming::Nobody,
        };
    }
}

fn are_to_come(ranks: &[Vec<NodeId>]) -> bool {
    !ranks.is_empty() && ranks.iter().all(Vec::is_empty)
}

fn close_all(mut handoff_sender: mpsc::Receiver<IdleConn>) {
    handoff_sender.close();
    while let Ok(idle_conn) = handoff_sender.try_recv() {
        idle_conn.close();
    }
}

/// Every connection has a task of its own here, as it had before.
async fn give_all(mut handoff_sender: mpsc::Receiver<IdleConn>, mut named: watch::Receiver<Ranks>) {
    let mut number = 0;
    loop {
        tokio::select! {
            idle_conn = handoff_sender.recv() => {
                let Some(idle_conn) = idle_conn else { return };
                number += 1;
                tokio::spawn(give(number, idle_conn, named.clone()));
            }
            Err(_) = named.changed() => return close_all(handoff_sender),
        }
    }
}

/// Offers the connection to the successors, and where one of them has died, drains or stands still, to those that are named next,
/// or to the same once more.
async fn give(number: u64, idle_conn: IdleConn, mut named: watch::Receiver<Ranks>) {
    let mut limit = None;
    loop {
        let ranks = named.borrow_and_update().clone();
        match offer(number, &idle_conn, &ranks).await {
            Outcome::Taken => return idle_conn.given(),
            // Those who were asked may not be the successors any more: a busy one answers late.
            Outcome::Refused if named.has_changed().is_ok_and(|changed| changed) => {}
            Outcome::Refused => return idle_conn.close(),
            Outcome::Unanswered => {
                let limit = *limit.get_or_insert_with(|| Instant::now() + HOLD);
                let again = limit.min(Instant::now() + PATIENCE);
                match tokio::time::timeout_at(again, named.changed()).await {
                    Ok(Ok(())) => {}
                    Err(_) if again < limit => {}
                    Ok(Err(_)) | Err(_) => return idle_conn.close(),
                }
            }
        }
    }
}

enum Outcome {
    Taken,
    /// By all, and each serves on.
    Refused,
    /// No successor took it, and not all have refused.
    Unanswered,
}

async fn offer(number: u64, idle_conn: &IdleConn, ranks: &[Vec<Link>]) -> Outcome {
    let mut outcome = if ranks.is_empty() { Outcome::Unanswered } else { Outcome::Refused };
    for successor in ranks.iter().flat_map(|rank| in_turn(rank, number)) {
        match successor.offer(number, idle_conn).await {
            Ok(()) => return Outcome::Taken,
            Err(error) => {
                crate::log::debug!(%error, "a successor did not take a connection");
                if error.kind() != io::ErrorKind::ConnectionRefused {
                    outcome = Outcome::Unanswered;
                }
            }
        }
    }
    outcome
}

/// All of a rank, beginning with the one whose turn it is.
fn in_turn(rank: &[Link], number: u64) -> impl Iterator<Item = &Link> {
    let first = usize::try_from(number).unwrap_or(0).checked_rem(rank.len()).unwrap_or(0);
    rank.iter().cycle().skip(first).take(rank.len())
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
