//! What the bus of one process has done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[doc = $help:literal])+ $name:ident,)*) => {
        /// What the bus of one process has done since its start. `links`, `requests_waiting` and `requests_running` are as of now.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct BusCounts {
            $($(#[doc = $help])+ pub $name: u64,)*
        }

        /// The counters, which any thread may add to.
        #[derive(Debug, Default)]
        pub(crate) struct Counts {
            $(pub(crate) $name: Count,)*
        }

        impl Counts {
            pub(crate) fn read(&self) -> BusCounts {
                BusCounts { $($name: self.$name.get(),)* }
            }
        }

        impl BusCounts {
            /// The name, the description and the value of each.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($help),+), self.$name),)*].into_iter()
            }
        }
    };
}

counts! {
    /// Messages published by this process.
    published,
    /// Messages put into the queues of peers.
    sent,
    /// Messages received from peers.
    received,
    /// Messages that a peer missed because too many bytes waited for it, or because its link was broken.
    dropped_for_peers,
    /// Messages that a subscription of this process missed because its queue was full.
    dropped_for_subscribers,
    /// Messages of peers that never arrived here.
    missed,
    /// Links that were closed because of a frame that breaks the protocol.
    bad_frames,
    /// Frames of kinds that this version doesn't know.
    unknown_kinds,
    /// Streams that were dropped because their epoch was too low or their peer is not a member.
    stale_links,
    /// Links that ended while their peer was still there.
    links_broken,
    /// Links that are open.
    links,
    /// Requests sent by this process, those to itself included.
    requests_sent,
    /// Requests of this process that await their answer.
    requests_waiting,
    /// Requests of this process that timed out.
    requests_timed_out,
    /// Requests that were refused because too many were in flight, here or there.
    requests_overloaded,
    /// Requests that this process took to handle.
    requests_handled,
    /// Requests that this process handles at the moment.
    requests_running,
    /// Requests of others that were cancelled.
    requests_cancelled,
    /// Handlers that panicked.
    handler_panics,
    /// Streams to and from other processes that are open.
    streams,
    /// Streams that were refused, since too many are open or wait to be accepted here.
    streams_refused,
    /// Streams that were reset.
    streams_reset,
    /// Topics that went on without the history they asked for.
    histories_missed,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn minus_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_name_and_a_description() {
        let counts = Counts::default();
        counts.sent.add(3);
        let each: Vec<_> = counts.read().each().collect();
        assert!(each.contains(&("sent", " Messages put into the queues of peers.", 3)), "{each:?}");
        assert_eq!(each.iter().map(|(.., value)| value).sum::<u64>(), 3);
    }
}
