//! Clients whose requests come at set times, whatever has been answered (an open loop). Waits count from when a request was due.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{
    net::TcpStream,
    runtime::Runtime,
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{
    load::Connection,
    variants::{Slow, WEBSOCKET},
};

/// How long after the last request was due the last answer may come.
const GRACE: Duration = Duration::from_secs(20);

/// The longest wait that is recorded, in microseconds.
const LONGEST: u64 = 60_000_000;

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arrival {
    /// Each on a connection of its own.
    New,
    /// On the connection that has been idle for longest; where none is, the request waits.
    Kept,
}

/// When which requests are due.
pub(crate) struct Pace {
    pub(crate) arrival: Arrival,
    /// From one request to the next.
    pub(crate) every: Duration,
    pub(crate) count: u32,
    /// How many connections are kept.
    pub(crate) connections: usize,
    /// Further connections on which nothing is asked after the first request.
    pub(crate) idle: usize,
    /// WebSockets on which nothing is said after the handshake.
    pub(crate) websockets: usize,
    pub(crate) slow: Slow,
    /// One request of this many is slow.
    pub(crate) slow_every: u32,
}

/// How long the requests that are not slow have waited.
pub(crate) struct Waits(Histogram<u64>, u64);

impl Arrival {
    pub(crate) fn name(self) -> &'static str {
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
    pub(crate) fn percentile(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1000.0
    }

    pub(crate) fn failed(&self) -> u64 {
        self.1
    }
}

/// Opens connections, sends requests at this pace, and waits for their answers. It blocks its thread.
pub(crate) fn run(address: SocketAddr, pace: &Pace, runtime: &Runtime) -> Result<Waits> {
    Clients::open(address, pace, runtime)?.send(pace, runtime)
}

/// Requests a second that the server answers in a closed loop: each answer lets the client send the next request.
pub(crate) fn capacity(address: SocketAddr, pace: &Pace, time: Duration, runtime: &Runtime) -> Result<f64> {
    let clients = Clients::open(address, pace, runtime)?.0;
    let (sent, answered) = (AtomicU32::new(0), AtomicU32::new(0));
    let begun = Instant::now();
    let client = async || {
        while begun.elapsed() < time {
            let is_slow = pace.is_slow(sent.fetch_add(1, Relaxed));
            if clients.exchange(pace.arrival, is_slow).await.is_ok() {
                answered.fetch_add(1, Relaxed);
            }
        }
    };
    let all = join_all((0..pace.connections).map(|_| client()));
    runtime.block_on(async { timeout(time + GRACE, all).await }).context("the last answers have not come")?;
    Ok(f64::from(answered.load(Relaxed)) / begun.elapsed().as_secs_f64())
}

/// Clients whose connections are open.
pub(crate) struct Clients(Arc<Shared>);

impl Clients {
    /// Opens the connections that are kept and those that stay idle, of which each has been answered once, and the WebSockets.
    pub(crate) fn open(address: SocketAddr, pace: &Pace, runtime: &Runtime) -> Result<Clients> {
        Ok(Clients(Arc::new(runtime.block_on(Shared::new(address, pace))?)))
    }

    /// Sends requests at this pace and waits for their answers. It blocks its thread.
    pub(crate) fn send(&self, pace: &Pace, runtime: &Runtime) -> Result<Waits> {
        let mut requests = JoinSet::new();
        let begun = Instant::now();
        for number in 0..pace.count {
            let due = begun + pace.every * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let clients = self.0.clone();
            let (arrival, is_slow) = (pace.arrival, pace.is_slow(number));
            requests.spawn_on(async move { clients.request(arrival, is_slow, due).await }, runtime.handle());
        }
        let all = async { while requests.join_next().await.is_some() {} };
        let all = runtime.block_on(async { timeout(GRACE, all).await });
        all.with_context(|| format!("the last answers have not come within {GRACE:?}"))?;
        let waits = self.0.waits.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Waits(waits.0.clone(), waits.1))
    }
}

struct Shared {
    address: SocketAddr,
    /// Those on which nothing is asked any more.
    _idle: Vec<Connection>,
    _websockets: Vec<WebSocketStream<TcpStream>>,
    /// Kept ones between two requests, the longest idle one first.
    free: Mutex<mpsc::UnboundedReceiver<Connection>>,
    done: mpsc::UnboundedSender<Connection>,
    quick: String,
    slow: String,
    waits: StdMutex<Waits>,
}

impl Shared {
    async fn new(address: SocketAddr, pace: &Pace) -> Result<Shared> {
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (quick, slow) = (request("/"), request(&pace.slow.path()));
        let (done, free) = mpsc::unbounded_channel();
        let kept = if pace.arrival == Arrival::Kept { pace.connections } else { 0 };
        for connection in answered_once(address, kept, &quick).await? {
            done.send(connection).context("both ends are here")?;
        }
        let _idle = answered_once(address, pace.idle, &quick).await?;
        let _websockets = websockets(address, pace.websockets).await?;
        let waits = StdMutex::new(Waits(Histogram::new_with_max(LONGEST, 3)?, 0));
        Ok(Shared { address, _idle, _websockets, free: Mutex::new(free), done, quick, slow, waits })
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
            Arrival::Kept => self.free.lock().await.recv().await.ok_or("no connection")?,
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

/// Opens connections one after the other, so that none waits to be accepted.
async fn answered_once(address: SocketAddr, count: usize, request: &str) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let failed = |kind| anyhow!("connection {number} of {count}: {kind}");
        let mut connection = Connection::open(address).await.map_err(failed)?;
        connection.exchange(request.as_bytes()).await.map_err(failed)?;
        connections.push(connection);
    }
    Ok(connections)
}

/// The same with WebSockets.
async fn websockets(address: SocketAddr, count: usize) -> Result<Vec<WebSocketStream<TcpStream>>> {
    let mut open = Vec::with_capacity(count);
    for number in 0..count {
        let stream = TcpStream::connect(address).await?;
        let shaken = timeout(GRACE, client_async(format!("ws://{address}{WEBSOCKET}"), stream)).await;
        let shaken = shaken.with_context(|| format!("WebSocket {number} of {count}: no handshake within {GRACE:?}"))?;
        open.push(shaken.with_context(|| format!("WebSocket {number} of {count}"))?.0);
    }
    Ok(open)
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
            idle: 0,
            websockets: 0,
            slow: Slow::Burn(Duration::from_millis(20)),
            slow_every: 100,
        };
        let slow: Vec<u32> = (0..pace.count).filter(|number| pace.is_slow(*number)).collect();
        assert_eq!(slow, [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]);
    }
}
