//! The bounds of a bus. What a bound drops is counted and reported.

use std::time::Duration;

/// The bounds of one process's bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusLimits {
    /// The largest payload, in bytes. 1 MiB by default.
    pub message_bytes: usize,
    /// How many bytes wait for one peer before messages to it are dropped. 4 MiB by default.
    pub peer_bytes: usize,
    /// How many messages wait in one subscription. 4096 by default.
    pub subscriber_messages: usize,
    /// How many bytes wait in one subscription. 16 MiB by default.
    pub subscriber_bytes: usize,
    /// How many topics this process names, and how many each peer may subscribe to. 4096 by default.
    pub topics: usize,
    /// How many handlers this process has, and how many each peer may have. 1024 by default.
    pub handlers: usize,
    /// How many requests of this process await their answer. 4096 by default.
    pub requests_sent: usize,
    /// How many requests of others this process handles at a time. 1024 by default.
    pub requests_handled: usize,
    /// How many streams of this process are open, those that others have opened included. 256 by default.
    pub streams: usize,
    /// How many bytes of history one process asks another for. 16 MiB by default.
    pub history_bytes: usize,
    /// How long a subscription waits for the peers to confirm it. 2 s by default.
    pub subscribe_timeout: Duration,
    /// How long a topic waits for its history. 2 s by default.
    pub history_timeout: Duration,
    /// How long a request takes at most, unless it says otherwise. 5 s by default.
    pub request_timeout: Duration,
    /// How long to wait for a link before it is wanted once more. 5 s by default.
    pub link_timeout: Duration,
    /// The first pause before a broken link is wanted again; it doubles up to `link_timeout`. 20 ms by default.
    pub link_backoff: Duration,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

impl Default for BusLimits {
    fn default() -> BusLimits {
        BusLimits {
            message_bytes: MIB,
            peer_bytes: 4 * MIB,
            subscriber_messages: 4 * KIB,
            subscriber_bytes: 16 * MIB,
            topics: 4 * KIB,
            handlers: KIB,
            requests_sent: 4 * KIB,
            requests_handled: KIB,
            streams: 256,
            history_bytes: 16 * MIB,
            subscribe_timeout: Duration::from_secs(2),
            history_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            link_timeout: Duration::from_secs(5),
            link_backoff: Duration::from_millis(20),
        }
    }
}
