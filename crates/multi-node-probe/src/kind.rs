//! The kinds of clients: how each uses connections, and how it paces its requests. Pure.

use std::{ops::Range, time::Duration};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// The number of pieces in which a slow client sends its request.
const PIECES: u32 = 4;
/// Between two of them.
const PIECE_PAUSE: Duration = Duration::from_millis(50);

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A connection for each request.
    New,
    /// Requests one after the other on a kept connection.
    Kept,
    /// A kept connection whose pauses vary, as those of a pool do.
    Pooled,
    /// Sends its request in pieces, on a kept connection.
    Slow,
    /// A connection for each request; shuts down its writing side before it reads.
    HalfClosing,
    /// Messages on an open WebSocket.
    #[serde(rename = "websocket")]
    WebSocket,
    /// Asks for what takes its time, on a kept connection.
    SlowAnswer,
    /// Large bodies, up and down at once, on a kept connection.
    Large,
}

/// The time between an answer and the next request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As busy clients are, each kind in its own way; pooled ones pause for no longer than this.
    Busy { longest_pause: Duration },
    /// About so long.
    About(Duration),
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    AtOnce,
    InPieces {
        count: u32,
        pause: Duration,
    },
    /// At once, and then nothing any more.
    AndShutDown,
}

impl Kind {
    /// All of them, in the order of tables.
    pub const ALL: [Kind; 8] = [
        Kind::New,
        Kind::Kept,
        Kind::Pooled,
        Kind::Slow,
        Kind::HalfClosing,
        Kind::WebSocket,
        Kind::SlowAnswer,
        Kind::Large,
    ];

    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::New => "new",
            Kind::Kept => "kept",
            Kind::Pooled => "pooled",
            Kind::Slow => "slow",
            Kind::HalfClosing => "half-closing",
            Kind::WebSocket => "websocket",
            Kind::SlowAnswer => "slow-answer",
            Kind::Large => "large",
        }
    }

    /// Whether a connection serves more than one request.
    pub fn keeps_connections(self) -> bool {
        !matches!(self, Kind::New | Kind::HalfClosing)
    }

    pub(crate) fn sending(self) -> Sending {
        match self {
            Kind::Slow => Sending::InPieces { count: PIECES, pause: PIECE_PAUSE },
            Kind::HalfClosing => Sending::AndShutDown,
            _ => Sending::AtOnce,
        }
    }
}

impl Sending {
    /// What such a request takes by the client's own doing.
    pub(crate) fn own_time(self) -> Duration {
        match self {
            Sending::InPieces { count, pause } => pause * (count - 1),
            Sending::AtOnce | Sending::AndShutDown => Duration::ZERO,
        }
    }
}

impl Pace {
    /// The next pause of such a client.
    pub(crate) fn pause(self, kind: Kind, rng: &mut Rng) -> Duration {
        const SHORTEST: Duration = Duration::from_millis(20);
        match (self, kind) {
            (Pace::Busy { longest_pause }, Kind::Pooled) => by_magnitude(SHORTEST, longest_pause, rng),
            (Pace::Busy { .. }, Kind::Kept) => between(rng, 0..12),
            (Pace::Busy { .. }, Kind::New | Kind::HalfClosing) => between(rng, 0..10),
            (Pace::Busy { .. }, Kind::Slow | Kind::SlowAnswer) => between(rng, 0..20),
            (Pace::Busy { .. }, Kind::Large | Kind::WebSocket) => between(rng, 0..200),
            // The mean of these is 0.85 of it.
            (Pace::About(pause), Kind::Pooled) => by_magnitude(pause / 10, pause * 3, rng),
            (Pace::About(pause), _) => pause.mul_f64(0.5 + rng.f64()),
        }
    }
}

/// Anything between the two, each command of magnitude as often as the next.
fn by_magnitude(shortest: Duration, longest: Duration, rng: &mut Rng) -> Duration {
    let times = longest.as_secs_f64() / shortest.as_secs_f64().max(1e-6);
    shortest.mul_f64(times.max(1.0).powf(rng.f64()))
}

fn between(rng: &mut Rng, millis: Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(pace: Pace, kind: Kind) -> Vec<Duration> {
        let mut rng = Rng::with_seed(1);
        (0..1000).map(|_| pace.pause(kind, &mut rng)).collect()
    }

    #[test]
    fn pools_pause_up_to_the_longest() {
        let longest = Duration::from_secs(60);
        let pauses = pauses(Pace::Busy { longest_pause: longest }, Kind::Pooled);
        assert!(pauses.iter().all(|pause| *pause <= longest));
        assert!(pauses.iter().any(|pause| *pause > longest / 2), "none is long");
        assert!(pauses.iter().any(|pause| *pause < longest / 1000), "none is short");
    }

    #[test]
    fn a_pace_is_met_on_average() {
        let pause = Duration::from_millis(100);
        for kind in Kind::ALL {
            let mean = pauses(Pace::About(pause), kind).iter().sum::<Duration>() / 1000;
            assert!(mean > pause.mul_f64(0.8) && mean < pause.mul_f64(1.05), "{kind:?}: {mean:?}");
        }
    }
}
