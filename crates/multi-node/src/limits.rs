//! Rate limits, counters and gauges of all processes together, in memory that they share.
//!
//! ```no_run
//! use multi_node::Handle;
//! use multi_node::limits::Quota;
//!
//! fn may_log_in(node: &Handle, client: &str) -> bool {
//!     node.limit("login", Quota::per_minute(100)).check(client).is_ok()
//! }
//! ```

#[cfg(feature = "http")]
mod layer;

use std::hash::{BuildHasher, Hasher, RandomState};

#[cfg(feature = "http")]
pub use layer::{RateLimit, RateLimitFuture, RateLimitLayer, RateLimitParts};
/// A number that only grows, as [`Handle::counter`](crate::Handle::counter) gives it.
///
/// ```no_run
/// # fn f(node: multi_node::Handle) -> Result<(), multi_node::limits::TooManyCounters> {
/// let jobs = node.counter("jobs")?;
/// jobs.add(1);
/// println!("all processes have done {} jobs", jobs.get());
/// # Ok(())
/// # }
/// ```
#[doc(inline)]
pub use multi_node_limits::Counter;
/// A number of which each process has a part, as [`Handle::gauge`](crate::Handle::gauge) gives it.
///
/// ```no_run
/// # fn f(node: multi_node::Handle) -> Result<(), multi_node::limits::TooManyGauges> {
/// let online = node.gauge("online")?;
/// online.add(1);
/// println!("{} visitors at all nodes", online.get());
/// # Ok(())
/// # }
/// ```
#[doc(inline)]
pub use multi_node_limits::Gauge;
/// How much each key may do, as [`Handle::limit`](crate::Handle::limit) gives it.
///
/// ```no_run
/// use multi_node::limits::Quota;
///
/// # fn f(node: multi_node::Handle) {
/// let logins = node.limit("login", Quota::per_minute(100));
/// match logins.check("192.0.2.1") {
///     Ok(allowed) => println!("{} more are allowed", allowed.remaining),
///     Err(denied) => println!("come back in {:?}", denied.retry_after),
/// }
/// # }
/// ```
#[doc(inline)]
pub use multi_node_limits::Limit;
/// How many events a limit allows in which time.
///
/// ```
/// use std::time::Duration;
/// use multi_node::limits::Quota;
///
/// // 100 in a minute, at most 10 of them at once.
/// let quota = Quota::new(100, Duration::from_secs(60))?.burst(10)?;
/// # let _ = quota;
/// # Ok::<(), multi_node::limits::QuotaError>(())
/// ```
#[doc(inline)]
pub use multi_node_limits::Quota;
#[doc(inline)]
pub use multi_node_limits::{Allowed, Denied, QuotaError, TooManyCounters, TooManyGauges};
pub(crate) use multi_node_limits::{MOST_KEYS, SharedTable};

/// A table that this process counts in alone.
pub(crate) fn of_this_process(keys: usize) -> SharedTable {
    let mut secret = [0; 16];
    for half in secret.chunks_mut(8) {
        half.copy_from_slice(&RandomState::new().build_hasher().finish().to_be_bytes());
    }
    SharedTable::local(keys, secret)
}
