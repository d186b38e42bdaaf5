//! What machines have in common, in JetStream's key-value buckets. Processes ask their gateway, which alone is connected.
//!
//! ```text
//! ask        what a process asks, and the answers     service    hears and answers
//! sessions   the rules of sessions                    kv         a bucket: what the rules need, and NATS's
//! entry      the bytes of a session in its bucket     sweep      removes what has expired
//! lease      the same of leases
//! ```

mod ask;
mod entry;
mod kv;
mod lease;
mod service;
mod sessions;
mod sweep;

pub use ask::{Asked, SESSIONS, SessionAnswer, SessionAsk};
pub use lease::{LEASES, LeaseAnswer, LeaseAsk, LeaseAsked};
pub(crate) use service::begin;
