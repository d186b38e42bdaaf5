//! What machines have in common, in JetStream's key-value buckets. Processes ask their gateway, which alone is connected.
//!
//! ```text
//! ask        what a process asks, and the answers     service    hears and answers
//! lease_ask  the same of leases
//! sessions   the rules of sessions                    kv         a bucket: what the rules need, and NATS's
//! entry      the bytes of a session in its bucket     sweep      removes what has expired
//! lease      the rules of leases
//! ```

mod ask;
#[cfg(feature = "client")]
mod entry;
#[cfg(feature = "client")]
mod kv;
#[cfg(feature = "client")]
mod lease;
mod lease_ask;
#[cfg(feature = "client")]
mod service;
#[cfg(feature = "client")]
mod sessions;
#[cfg(feature = "client")]
mod sweep;

pub use ask::{Asked, SESSIONS, SessionAnswer, SessionAsk};
pub use lease_ask::{LEASES, LeaseAnswer, LeaseAsk, LeaseAsked};
#[cfg(feature = "client")]
pub(crate) use service::begin;
