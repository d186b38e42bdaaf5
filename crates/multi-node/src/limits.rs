//! Rate limits and counters of all processes together.

#[cfg(feature = "http")]
mod layer;

use std::hash::{BuildHasher, Hasher, RandomState};

#[cfg(feature = "http")]
pub use layer::{RateLimit, RateLimitFuture, RateLimitLayer, RateLimitParts};
#[doc(inline)]
pub use multi_node_limits::{
    Allowed, Counter, Denied, Gauge, Limit, Quota, QuotaError, TooManyCounters, TooManyGauges,
};
pub(crate) use multi_node_limits::{MOST_KEYS, SharedTable};

/// A table that this process counts in alone.
pub(crate) fn of_this_process(keys: usize) -> SharedTable {
    let mut secret = [0; 16];
    for half in secret.chunks_mut(8) {
        half.copy_from_slice(&RandomState::new().build_hasher().finish().to_be_bytes());
    }
    SharedTable::local(keys, secret)
}
