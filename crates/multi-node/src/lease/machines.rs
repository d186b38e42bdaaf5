//! Jobs that one process of all joined machines does: a lease with a time to live, which the holder renews by way of its gateway.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use multi_node_bus::Bus;
use multi_node_nats::{LEASES, LeaseAnswer, LeaseAsk, LeaseAsked};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Lease;
use super::term::{EVERY, Holding, TTL, Waiting};
use crate::questions::ask_gateway;

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(2);

/// The pause after a renewal that failed.
const AGAIN: Duration = Duration::from_millis(500);

impl Lease {
    /// Of a lease over machines ([`Handle::joined_leader`](crate::Handle::joined_leader)): a number that is higher for each holder than for all before it. `None` for a lease of
    /// one machine, which needs none.
    pub fn fencing_token(&self) -> Option<u64> {
        self.term.as_ref().map(|(token, _)| *token)
    }
}

/// Does the job while this process holds the lease, until the job returns or the process drains.
pub(crate) async fn lead<F, R>(bus: Bus, local: Lease, job: &F)
where
    F: Fn(Lease) -> R,
    R: Future<Output = ()>,
{
    let keeper = Keeper { bus, name: local.name().to_owned() };
    loop {
        let mut holding = tokio::select! {
            holding = keeper.take() => holding,
            () = local.lost() => return,
        };
        let (lost, is_lost) = watch::channel(false);
        let term = Some((holding.token, is_lost));
        let mut doing = pin!(job(Lease { term, ..local.clone() }));
        tokio::select! {
            () = &mut doing => return keeper.leave(holding).await,
            () = keeper.keep(&mut holding) => {}
        }
        crate::log::warn!(lease = keeper.name, "this machine has lost a lease over machines; its job should end");
        lost.send_replace(true);
        doing.await;
        if local.is_lost() {
            return;
        }
    }
}

/// Asks the gateway about one lease.
struct Keeper {
    bus: Bus,
    name: String,
}

impl Keeper {
    /// Resolves when this process holds the lease. Where it is dropped in between, the lease is free after its time to live.
    async fn take(&self) -> Holding {
        let (mut waiting, mut failed) = (Waiting::default(), false);
        loop {
            match self.try_take(&mut waiting).await {
                Ok(Some(holding)) => return holding,
                Ok(None) => failed = false,
                Err(cause) if !std::mem::replace(&mut failed, true) => {
                    crate::log::warn!(lease = self.name, cause, "cannot take a lease over machines; its job waits");
                }
                Err(_) => {}
            }
            // Those who wait do not all look at once.
            sleep(EVERY.mul_f64(0.75 + 0.5 * fraction())).await;
        }
    }

    async fn try_take(&self, waiting: &mut Waiting) -> Result<Option<Holding>, String> {
        let (revision, ttl) = match self.ask(LeaseAsked::Look).await? {
            LeaseAnswer::Found { revision, ttl, .. } => (revision, Duration::from_millis(ttl.into())),
            LeaseAnswer::No | LeaseAnswer::Held(_) => (0, Duration::ZERO),
        };
        // What others have written does not make it wait for ever.
        if !waiting.sees(revision, ttl.min(10 * TTL), Instant::now()) {
            return Ok(None);
        }
        let began = Instant::now();
        Ok(match self.hold(revision, 0).await? {
            LeaseAnswer::Held(revision) => Some(Holding::new(revision, began)),
            LeaseAnswer::No | LeaseAnswer::Found { .. } => None,
        })
    }

    /// Renews the lease. Resolves when it is lost.
    async fn keep(&self, holding: &mut Holding) {
        let mut pause = EVERY;
        loop {
            let until = holding.until();
            let renewed = async {
                sleep(pause).await;
                let began = Instant::now();
                (began, self.renew(holding).await)
            };
            pause = tokio::select! {
                (began, renewed) = renewed => match renewed {
                    Ok(Some(revision)) => {
                        holding.renewed(revision, began);
                        EVERY
                    }
                    Ok(None) => return,
                    Err(cause) => {
                        crate::log::debug!(lease = self.name, cause, "cannot renew a lease over machines");
                        AGAIN
                    }
                },
                () = sleep_until(until) => return,
            };
        }
    }

    /// The new revision; `None` if somebody else has the lease.
    async fn renew(&self, holding: &Holding) -> Result<Option<u64>, String> {
        let Holding { token, revision, .. } = *holding;
        if let LeaseAnswer::Held(revision) = self.hold(revision, token).await? {
            return Ok(Some(revision));
        }
        // Perhaps an earlier renewal has come through whose answer was lost.
        match self.ask(LeaseAsked::Look).await? {
            LeaseAnswer::Found { revision, token: found, .. } if found == token => {
                match self.hold(revision, token).await? {
                    LeaseAnswer::Held(revision) => Ok(Some(revision)),
                    LeaseAnswer::No | LeaseAnswer::Found { .. } => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    async fn hold(&self, revision: u64, token: u64) -> Result<LeaseAnswer, String> {
        let ttl = u32::try_from(TTL.as_millis()).unwrap_or(u32::MAX);
        self.ask(LeaseAsked::Hold { revision, token, ttl }).await
    }

    /// Returns the lease, so that others need not wait.
    async fn leave(&self, holding: Holding) {
        // Otherwise it is free after its time to live.
        let _ = self.ask(LeaseAsked::Leave(holding.revision)).await;
    }

    async fn ask(&self, asked: LeaseAsked) -> Result<LeaseAnswer, String> {
        let question = (LEASES, LeaseAsk { name: self.name.clone(), asked }.encode());
        ask_gateway(&self.bus, question, QUESTION, LeaseAnswer::decode).await
    }
}

/// A number below 1, another one for each process and time.
fn fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(std::process::id());
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
