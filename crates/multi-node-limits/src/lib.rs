//! Internal to multi-node, without semver promises: rate limits, counters and gauges in memory that all processes of a program share.
//!
//! A check sends no message and waits for no other process. The counts survive crashes, reloads and upgrades.

mod counters;
mod gauges;
mod limit;
mod quota;
mod table;
mod window;

pub use counters::{Counter, TooManyCounters};
pub use gauges::{Gauge, TooManyGauges};
pub use limit::Limit;
pub use quota::{Allowed, Denied, Quota, QuotaError};
pub use table::{MOST_KEYS, SharedTable, Size};
