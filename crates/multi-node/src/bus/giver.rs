//! The draining side: each idle connection goes to the first heir that takes it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::link::{Link, Links};
use crate::id::NodeId;
use crate::serve::Parcel;

/// Who takes the connections of this node. Until that is known they wait.
#[derive(Debug)]
pub(crate) struct Heirs(Option<mpsc::Receiver<Parcel>>);

impl Heirs {
    /// For what comes out of this process's servers when they drain.
    pub(crate) fn of(outlet: mpsc::Receiver<Parcel>) -> Heirs {
        Heirs(Some(outlet))
    }

    /// These are the heirs, rank by rank; those of one rank take turns. Only the first word counts.
    ///
    /// Without heirs the outlet is closed, which servers see at once: they say `Connection: close` then.
    pub(crate) fn appoint(&mut self, links: &Links, ranks: &[Vec<NodeId>]) {
        let Some(outlet) = self.0.take() else { return };
        let ranks: Vec<Vec<Link>> = ranks.iter().map(|rank| links.to(rank)).filter(|rank| !rank.is_empty()).collect();
        if ranks.is_empty() {
            close_all(outlet);
        } else {
            tokio::spawn(give_all(outlet, ranks));
        }
    }
}

fn close_all(mut outlet: mpsc::Receiver<Parcel>) {
    outlet.close();
    while let Ok(parcel) = outlet.try_recv() {
        parcel.close();
    }
}

/// Every connection has a task of its own here, as it had before.
async fn give_all(mut outlet: mpsc::Receiver<Parcel>, ranks: Vec<Vec<Link>>) {
    let ranks = Arc::new(ranks);
    let mut number = 0;
    while let Some(parcel) = outlet.recv().await {
        number += 1;
        tokio::spawn(give(number, parcel, ranks.clone()));
    }
}

async fn give(number: u64, parcel: Parcel, ranks: Arc<Vec<Vec<Link>>>) {
    for heir in ranks.iter().flat_map(|rank| in_turn(rank, number)) {
        match heir.offer(number, &parcel).await {
            Ok(()) => return parcel.given(),
            Err(error) => tracing::debug!(%error, "an heir did not take a connection"),
        }
    }
    parcel.close();
}

/// All of a rank, beginning with the one whose turn it is.
fn in_turn(rank: &[Link], number: u64) -> impl Iterator<Item = &Link> {
    let first = usize::try_from(number).unwrap_or(0).checked_rem(rank.len()).unwrap_or(0);
    rank.iter().cycle().skip(first).take(rank.len())
}
