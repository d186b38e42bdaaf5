//! The kinds of load: what each asks for, and how it uses connections.

use std::{ops::Range, time::Duration};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::failure::{Failure, How};

/// Bytes of a large body.
const LARGE: usize = 1 << 20;
/// Between the pieces that a client of large bodies reads, so that such a transfer lasts.
const LARGE_PAUSE: Duration = Duration::from_millis(4);

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Requests one after the other on a kept connection.
    KeepAlive,
    /// A connection for each request.
    PerRequest,
    /// A kept connection that pauses for long.
    Pooled,
    /// Requests that take 50 to 500 ms.
    Slow,
    /// Bodies of 1 MiB, up and down at once.
    Large,
    /// Messages on an open WebSocket.
    WebSocket,
}

impl Kind {
    /// All of them, in the order of tables.
    pub const ALL: [Kind; 6] =
        [Kind::KeepAlive, Kind::PerRequest, Kind::Pooled, Kind::Slow, Kind::Large, Kind::WebSocket];

    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::KeepAlive => "keep-alive",
            Kind::PerRequest => "per-request",
            Kind::Pooled => "pooled",
            Kind::Slow => "slow",
            Kind::Large => "large",
            Kind::WebSocket => "websocket",
        }
    }

    pub(super) fn keeps_connections(self) -> bool {
        self != Kind::PerRequest
    }

    /// The next request of such a client.
    pub(super) fn request(self, rng: &mut Rng) -> Request {
        match self {
            Kind::Slow => {
                let ms = rng.u64(50..=500);
                Request::get(&format!("/sleep/{ms}"), format!("slept {ms}\n").into_bytes())
            }
            Kind::Large if rng.bool() => Request::echo(rng),
            Kind::Large => Request { pause: LARGE_PAUSE, ..Request::pattern(LARGE + rng.usize(..1000), true) },
            _ => Request::pattern(rng.usize(1..64), self.keeps_connections()),
        }
    }

    /// The time between an answer and the next request. Pools pause for anything between a moment and the longest, each
    /// order of magnitude as often as the next.
    pub(super) fn pause(self, rng: &mut Rng, longest: Duration) -> Duration {
        const SHORTEST: Duration = Duration::from_millis(20);
        match self {
            Kind::Pooled => {
                let times = longest.as_secs_f64() / SHORTEST.as_secs_f64();
                SHORTEST.mul_f64(times.max(1.0).powf(rng.f64()))
            }
            Kind::KeepAlive => between(rng, 0..12),
            Kind::PerRequest => between(rng, 0..10),
            Kind::Slow => between(rng, 0..20),
            Kind::Large | Kind::WebSocket => between(rng, 0..200),
        }
    }
}

fn between(rng: &mut Rng, millis: Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(millis))
}

/// A request and the answer that it must have.
#[derive(Debug)]
pub(super) struct Request {
    bytes: Vec<u8>,
    expected: Vec<u8>,
    pause: Duration,
}

impl Request {
    fn get(path: &str, expected: Vec<u8>) -> Request {
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
        Request { bytes, expected, pause: Duration::ZERO }
    }

    /// So many bytes that every server here answers with: what stands there tells whose answer it is.
    fn pattern(count: usize, kept: bool) -> Request {
        let close = if kept { "" } else { "connection: close\r\n" };
        let bytes = format!("GET /bytes/{count} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n").into_bytes();
        Request { bytes, expected: (0..count).map(|at| (at % 251) as u8).collect(), pause: Duration::ZERO }
    }

    /// A body that comes back as it was sent.
    fn echo(rng: &mut Rng) -> Request {
        let body: Vec<u8> = std::iter::repeat_with(|| rng.u64(..).to_le_bytes()).take(LARGE / 8).flatten().collect();
        let head = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        Request { bytes: [head.as_bytes(), &body].concat(), expected: body, pause: LARGE_PAUSE }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Between two pieces of the answer.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    pub(super) fn check(&self, status: u16, body: &[u8]) -> Result<(), Failure> {
        match status {
            200 if body == self.expected => Ok(()),
            200 => Err(Failure::new(How::Wrong, "the body of another answer")),
            status => Err(Failure::new(How::Wrong, format_args!("status {status}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_pause_up_to_the_longest() {
        let mut rng = Rng::with_seed(1);
        let longest = Duration::from_secs(60);
        let pauses: Vec<Duration> = (0..1000).map(|_| Kind::Pooled.pause(&mut rng, longest)).collect();
        assert!(pauses.iter().all(|pause| *pause <= longest));
        assert!(pauses.iter().any(|pause| *pause > longest / 2), "none is long");
        assert!(pauses.iter().any(|pause| *pause < longest / 1000), "none is short");
    }

    #[test]
    fn the_answer_to_another_request_is_wrong() {
        let request = Request::pattern(7, true);
        assert_eq!(request.check(200, &[0, 1, 2, 3, 4, 5, 6]), Ok(()));
        assert_eq!(request.check(200, &[0, 1, 2, 3, 4, 5]).map_err(|lost| lost.how), Err(How::Wrong));
        assert_eq!(request.check(503, b"").map_err(|lost| lost.how), Err(How::Wrong));
    }
}
