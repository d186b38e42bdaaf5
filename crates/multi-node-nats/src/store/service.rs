//! Answers the processes of this machine, and sweeps.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::Client;
use multi_node_bus::{Bus, Payload, Request};
use multi_node_sys::log;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ask::{SESSIONS, SessionAsk};
use super::kv::{Bucket, bucket_name};
use super::lease;
use super::lease_ask::{LEASES, LeaseAsk};
use super::sessions::answer;
use super::sweep::Sweeper;

/// How far apart looks are whether somebody sweeps.
const SWEEP: Duration = Duration::from_secs(600);

/// From now on the processes of this machine may ask for sessions and leases.
pub(crate) fn begin(cluster: &str, bus: &Bus, nats: &watch::Receiver<Option<Client>>) {
    begin_sessions(cluster, bus, nats);
    begin_leases(cluster, bus, nats);
}

fn begin_leases(cluster: &str, bus: &Bus, nats: &watch::Receiver<Option<Client>>) {
    let bucket = Arc::new(Bucket::new(bucket_name(cluster, "leases"), nats.clone()));
    let responds = bus.respond(LEASES, move |request: Request| {
        let bucket = bucket.clone();
        async move {
            let ask = LeaseAsk::decode(&request.payload.bytes).ok_or("this is no question about leases")?;
            let answered = lease::answer(&*bucket, &ask).await?;
            Ok::<_, String>(Payload::bytes(answered.encode()))
        }
    });
    if let Err(error) = responds {
        log::error!("leases over machines cannot be used: {error}");
    }
}

fn begin_sessions(cluster: &str, bus: &Bus, nats: &watch::Receiver<Option<Client>>) {
    let bucket = Arc::new(Bucket::new(bucket_name(cluster, "sessions"), nats.clone()));
    let (used, is_used) = watch::channel(false);
    let answering = bucket.clone();
    let responds = bus.respond(SESSIONS, move |request: Request| {
        used.send_if_modified(|used| !std::mem::replace(used, true));
        let bucket = answering.clone();
        async move {
            let ask = SessionAsk::decode(&request.payload.bytes).ok_or("this is no question about sessions")?;
            let answered = answer(&*bucket, ask, unix_millis()).await?;
            Ok::<_, String>(Payload::bytes(answered.encode()))
        }
    });
    if let Err(error) = responds {
        log::error!("sessions of several machines cannot be used: {error}");
    }
    tokio::spawn(sweep(bucket, is_used));
}

/// Removes expired sessions as long as this process lives, once one of its machine uses sessions.
async fn sweep(bucket: Arc<Bucket>, mut is_used: watch::Receiver<bool>) {
    if is_used.wait_for(|used| *used).await.is_err() {
        return;
    }
    let mut sweeper = Sweeper::default();
    loop {
        // Machines that have started together do not all look at once.
        sleep(SWEEP.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        match sweeper.sweep(&*bucket, unix_millis()).await {
            Ok(0) => {}
            Ok(removed) => log::debug!(removed, "removed expired sessions of several machines"),
            Err(error) => log::warn!("cannot remove expired sessions: {error}"),
        }
    }
}

fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
