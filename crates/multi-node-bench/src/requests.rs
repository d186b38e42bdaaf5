//! What the clients of `loss` and of the chaos test ask `routes` for.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use fastrand::Rng;
use multi_node_probe::{Clients, Echoes, Expected, Kind, Pace, Plan, Request, Requests, Target, WebSocket};

/// Bytes of a large body.
const LARGE: usize = 1 << 20;
/// Between the pieces that a client of large bodies reads, so that such a transfer lasts.
const LARGE_PAUSE: Duration = Duration::from_millis(4);

/// Busy clients of these kinds, who ask the server at an address for `routes`.
pub fn plan(
    address: SocketAddr,
    clients: &[(Kind, usize)],
    longest_pause: Duration,
    patience: Duration,
    seed: u64,
) -> Plan {
    let pace = Pace::Busy { longest_pause };
    let clients = clients.iter().map(|&(kind, count)| Clients { kind, count, pace }).collect();
    Plan { target: Target::plain(address), requests: Arc::new(Routes), clients, patience, seed }
}

#[derive(Debug)]
struct Routes;

impl Requests for Routes {
    fn next(&self, kind: Kind, rng: &mut Rng) -> Request {
        match kind {
            Kind::SlowAnswer => {
                let ms = rng.u64(50..=500);
                get(&format!("/sleep/{ms}"), true, format!("slept {ms}\n").into_bytes())
            }
            Kind::Large if rng.bool() => echo(rng),
            Kind::Large => Request { pause: LARGE_PAUSE, ..pattern(LARGE + rng.usize(..1000), true) },
            _ => pattern(rng.usize(1..64), kind.keeps_connections()),
        }
    }

    fn websocket(&self) -> WebSocket {
        WebSocket { path: "/ws".to_owned(), headers: Vec::new(), echoes: Echoes::Texts }
    }
}

fn get(path: &str, kept: bool, body: Vec<u8>) -> Request {
    let close = if kept { "" } else { "connection: close\r\n" };
    let bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n").into_bytes();
    Request { bytes, is_head: false, expected: Expected::Body(body), pause: Duration::ZERO }
}

/// The length of the answers of all servers here, in bytes. The bytes tell which server has answered.
fn pattern(count: usize, kept: bool) -> Request {
    get(&format!("/bytes/{count}"), kept, (0..count).map(|at| (at % 251) as u8).collect())
}

/// A body that comes back as it was sent.
fn echo(rng: &mut Rng) -> Request {
    let body: Vec<u8> = std::iter::repeat_with(|| rng.u64(..).to_le_bytes()).take(LARGE / 8).flatten().collect();
    let head = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    let bytes = [head.as_bytes(), &body].concat();
    Request { bytes, is_head: false, expected: Expected::Body(body), pause: LARGE_PAUSE }
}
