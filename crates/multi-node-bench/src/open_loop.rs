//! The clients of `tail`.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::{
    runtime::Runtime,
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::timeout,
};

use crate::{load::Connection, variants::burn_path};

/// How long after the last request was due the last answer may come.
const GRACE: Duration = Duration::from_secs(20);

/// The longest wait that is recorded, in microseconds.
const LONGEST: u64 = 60_000_000;

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Each on a connection of its own.
    New,
    /// On the connection that has been idle for longest; where none is, the request waits.
    Kept,
}

/// When which requests are due.
pub(super) struct Pace {
    pub(super) arrival: Arrival,
    /// From one request to the next.
    pub(super) every: Duration,
    pub(super) count: u32,
    /// How many connections are kept.
    pub(super) connections: usize,
    /// What a slow request burns.
    pub(super) burn: Duration,
    /// One request of this many is slow.
    pub(super) slow_every: u32,
}

/// How long the requests that burn nothing have waited.
pub(super) struct Waits(Histogram<u64>, u64);

impl Arrival {
    pub(super) fn name(self) -> &'static str {
        match self {
            Arrival::New => "new connections",
            Arrival::Kept => "kept connections",
        }
    }
}

impl Pace {
    fn is_slow(&self, number: u32) -> bool {
        number % self.slow_every == self.slow_every / 2
    }
}

impl Waits {
    /// In milliseconds.
    pub(super) fn percentile(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1000.0
    }

    pub(super) fn failed(&self) -> u64 {
        self.1
    }
}

/// Sends requests at this pace and waits for their answers. It sleeps in between, so call it from a thread of its own.
pub(super) fn run(address: SocketAddr, pace: &Pace, runtime: &Runtime) -> Result<Waits> {
    let clients = Arc::new(runtime.block_on(Clients::new(address, pace))?);
    let mut requests = JoinSet::new();
    let begun = Instant::now();
    for number in 0..pace.count {
        let due = begun + pace.every * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let clients = clients.clone();
        let (arrival, is_slow) = (pace.arrival, pace.is_slow(number));
        requests.spawn_on(async move { clients.request(arrival, is_slow, due).await }, runtime.handle());
    }
    let all = async { while requests.join_next().await.is_some() {} };
    let all = runtime.block_on(async { timeout(GRACE, all).await });
    all.with_context(|| format!("the last answers have not come within {GRACE:?}"))?;
    let waits = clients.waits.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Waits(waits.0.clone(), waits.1))
}

struct Clients {
    address: SocketAddr,
    /// Idle connections, the longest idle one first.
    idle: Mutex<mpsc::UnboundedReceiver<Connection>>,
    done: mpsc::UnboundedSender<Connection>,
    quick: String,
    slow: String,
    waits: StdMutex<Waits>,
}

impl Clients {
    async fn new(address: SocketAddr, pace: &Pace) -> Result<Clients> {
        let (done, idle) = mpsc::unbounded_channel();
        if pace.arrival == Arrival::Kept {
            for _ in 0..pace.connections {
                let connection = Connection::open(address).await.map_err(anyhow::Error::msg)?;
                done.send(connection).context("both ends are here")?;
            }
        }
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let waits = StdMutex::new(Waits(Histogram::new_with_max(LONGEST, 3)?, 0));
        let (quick, slow) = (request("/"), request(&burn_path(pace.burn)));
        Ok(Clients { address, idle: Mutex::new(idle), done, quick, slow, waits })
    }

    async fn request(&self, arrival: Arrival, is_slow: bool, due: Instant) {
        let answered = self.exchange(arrival, is_slow).await;
        let waited = due.elapsed();
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        match answered {
            Ok(()) if is_slow => {}
            Ok(()) => waits.0.saturating_record(u64::try_from(waited.as_micros()).unwrap_or(LONGEST)),
            Err(_) => waits.1 += 1,
        }
    }

    async fn exchange(&self, arrival: Arrival, is_slow: bool) -> Result<(), &'static str> {
        let request = if is_slow { &self.slow } else { &self.quick };
        let mut connection = match arrival {
            Arrival::New => Connection::open(self.address).await?,
            Arrival::Kept => self.idle.lock().await.recv().await.ok_or("no connection")?,
        };
        let answered = connection.exchange(request.as_bytes()).await;
        if arrival == Arrival::Kept {
            let next = if answered.is_ok() { connection } else { Connection::open(self.address).await? };
            // Both ends are here.
            let _ = self.done.send(next);
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_of_so_many_is_slow() {
        let pace = Pace {
            arrival: Arrival::New,
            every: Duration::from_millis(1),
            count: 1000,
            connections: 0,
            burn: Duration::from_millis(20),
            slow_every: 100,
        };
        let slow: Vec<u32> = (0..pace.count).filter(|number| pace.is_slow(*number)).collect();
        assert_eq!(slow, [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]);
    }
}
