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
pub(crate) struct Heirs(watch::Sender<Option<Vec<Link>>>);

impl Heirs {
    /// These are the heirs, in the order in which they are asked.
    pub(crate) fn appoint(&self, links: &Links, ids: &[NodeId]) {
        self.0.send_replace(Some(links.to(ids)));
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
        let mut number = 0;
        while let Some(parcel) = outlet.recv().await {
            let links = known(&mut heirs).await;
            let Ok(permit) = window.clone().acquire_owned().await else { return };
            number += 1;
            tokio::spawn(async move {
                give(number, parcel, &links).await;
                drop(permit);
            });
        }
    });
    Heirs(sender)
}

/// The heirs once they are known; nobody, if that takes too long.
async fn known(heirs: &mut watch::Receiver<Option<Vec<Link>>>) -> Vec<Link> {
    match tokio::time::timeout(WILL, heirs.wait_for(Option::is_some)).await {
        Ok(Ok(heirs)) => heirs.clone().unwrap_or_default(),
        _ => Vec::new(),
    }
}

async fn give(number: u64, parcel: Parcel, heirs: &[Link]) {
    for heir in heirs {
        match heir.offer(number, &parcel).await {
            Ok(()) => return parcel.given(),
            Err(error) => tracing::debug!(%error, "an heir did not take a connection"),
        }
    }
    parcel.close().await;
}
