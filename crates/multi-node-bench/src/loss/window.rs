//! The clients, the same for every server, and the window in which what they meet is counted.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use fastrand::Rng;
use multi_node_probe::{
    Clients, Echoes, Expected, Kind, Load, Mix, Plan, Request, Requests, Tally, Target, WebSocket, ask_once,
};

use super::Options;

/// The phase in which all is counted.
pub(super) const DEPLOY: &str = "deploy";
/// Clients have connected by then, and what follows is counted.
const BEFORE: Duration = Duration::from_secs(1);
/// How long a client waits for a whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often clients are tried. Some servers answer half-closing ones now and then, which is not to serve them.
const TRIES: usize = 10;

/// The clients that every server serves.
pub(super) const EVERYWHERE: [Kind; 5] = [Kind::New, Kind::Kept, Kind::Pooled, Kind::Slow, Kind::SlowAnswer];
/// Clients that not every server serves. They come on top, so that all else is the same.
const ELSEWHERE: [Kind; 2] = [Kind::HalfClosing, Kind::WebSocket];
const CONNECTIONS: usize = 96;
/// Of each of those kinds.
const CONNECTIONS_ELSEWHERE: usize = 8;
/// Their share of the requests.
const ELSEWHERE_RATE: f64 = 0.05;

/// The clients of one server.
pub(super) struct Window {
    target: Target,
    clients: Vec<Clients>,
    time: Duration,
    seed: u64,
}

impl Window {
    /// Finds out which clients the server serves.
    pub(super) fn of(target: Target, options: &Options) -> Result<Window> {
        let rate = f64::from(options.rate);
        let mut clients = Mix { kinds: EVERYWHERE.to_vec(), connections: CONNECTIONS, rate }.shared_out();
        for kind in EVERYWHERE.into_iter().chain(ELSEWHERE) {
            let is_served = serves(&target, kind);
            if ELSEWHERE.contains(&kind) && is_served.is_ok() {
                let (connections, rate) = (CONNECTIONS_ELSEWHERE, rate * ELSEWHERE_RATE);
                clients.extend(Mix { kinds: vec![kind], connections, rate }.shared_out());
            } else if !ELSEWHERE.contains(&kind) {
                is_served.map_err(|failure| anyhow!("{} clients are not answered: {failure}", kind.name()))?;
            }
        }
        Ok(Window { target, clients, time: Duration::from_secs_f64(options.window), seed: options.seed })
    }

    /// Lets clients send while something is done, and for as long as every window is; gives what they met.
    pub(super) fn around<T>(&self, round: usize, doing: impl FnOnce() -> T) -> (Tally, T) {
        let load = Load::start(&self.plan(round));
        thread::sleep(BEFORE);
        load.tally().enter(DEPLOY);
        let begun = Instant::now();
        let done = doing();
        thread::sleep(self.time.saturating_sub(begun.elapsed()));
        (load.end(), done)
    }

    fn plan(&self, round: usize) -> Plan {
        let clients = self.clients.clone();
        let seed = self.seed.wrapping_add(round as u64);
        Plan { target: self.target.clone(), requests: Arc::new(Asked), clients, patience: PATIENCE, seed }
    }
}

fn serves(target: &Target, kind: Kind) -> Result<(), multi_node_probe::Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    (0..TRIES).try_for_each(|_| runtime.block_on(ask_once(target, &Asked, kind, PATIENCE)))
}

/// What clients ask for. Slow answers take 50 to 300 ms.
#[derive(Debug)]
struct Asked;

impl Requests for Asked {
    fn next(&self, kind: Kind, rng: &mut Rng) -> Request {
        let path = if kind == Kind::SlowAnswer { format!("/sleep/{}", rng.u64(50..=300)) } else { "/".to_owned() };
        let close = if kind.keeps_connections() { "" } else { "connection: close\r\n" };
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n").into_bytes();
        Request { bytes, is_head: false, expected: Expected::Status(200..=200), pause: Duration::ZERO }
    }

    fn websocket(&self) -> WebSocket {
        WebSocket { path: "/ws".to_owned(), headers: Vec::new(), echoes: Echoes::Pings }
    }
}
