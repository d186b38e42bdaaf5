//! The draining side: each idle connection goes to the first heir that takes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use super::link::{Link, Links};
use crate::id::NodeId;
use crate::serve::Parcel;

/// How many connections may be on their way at a time: well below the kernel's limit of descriptors in flight
/// (`RLIMIT_NOFILE`, unix(7)), and few enough that answers never wait behind offers.
const WINDOW: usize = 64;

/// How long a node that drains of itself waits to be told its heirs.
const WILL: Duration = Duration::from_secs(1);

/// Tells who takes the connections of this node: `None` until that is known.
#[derive(Debug)]
pub(crate) struct Heirs(watch::Sender<Option<Ranks>>);

/// The links to the heirs: those of one rank take turns.
type Ranks = Vec<Vec<Link>>;

impl Heirs {
    /// These are the heirs, rank by rank.
    pub(crate) fn appoint(&self, links: &Links, ranks: &[Vec<NodeId>]) {
        self.0.send_replace(Some(ranks.iter().map(|rank| links.to(rank)).collect()));
    }

    /// There is nobody who could tell.
    pub(crate) fn none(&self) {
        self.0.send_if_modified(|heirs| heirs.is_none() && heirs.replace(Vec::new()).is_none());
    }
}

/// Starts to give away what comes out of a draining server.
pub(crate) fn give_away(mut outlet: mpsc::Receiver<Parcel>) -> Heirs {
    let (sender, mut heirs) = watch::channel(None);
    tokio::spawn(async move {
        let window = Arc::new(Semaphore::new(WINDOW));
        let mut number: u64 = 0;
        while let Some(parcel) = outlet.recv().await {
            let ranks = known(&mut heirs).await;
            let Ok(permit) = window.clone().acquire_owned().await else { return };
            number += 1;
            tokio::spawn(async move {
                give(number, parcel, &ranks).await;
                drop(permit);
            });
        }
    });
    Heirs(sender)
}

/// The heirs once they are known; nobody, if that takes too long.
async fn known(heirs: &mut watch::Receiver<Option<Ranks>>) -> Ranks {
    match tokio::time::timeout(WILL, heirs.wait_for(Option::is_some)).await {
        Ok(Ok(heirs)) => heirs.clone().unwrap_or_default(),
        _ => Vec::new(),
    }
}

async fn give(number: u64, parcel: Parcel, ranks: &[Vec<Link>]) {
    for heir in ranks.iter().flat_map(|rank| in_turn(rank, number)) {
        match heir.offer(number, &parcel).await {
            Ok(()) => return parcel.given(),
            Err(error) => tracing::debug!(%error, "an heir did not take a connection"),
        }
    }
    parcel.close().await;
}

/// All of a rank, beginning with the one whose turn it is.
fn in_turn(rank: &[Link], number: u64) -> impl Iterator<Item = &Link> {
    let first = usize::try_from(number).unwrap_or(0).checked_rem(rank.len()).unwrap_or(0);
    rank.iter().cycle().skip(first).take(rank.len())
}
