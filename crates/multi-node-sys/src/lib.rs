//! Internal to multi-node, without semver promises: safe calls into the kernel beyond std and tokio, without policy. What they are
//! used for is decided elsewhere.
//!
//! On systems other than Linux there is the log alone.

#![allow(missing_docs, reason = "a field whose name says all needs no line in an internal crate")]

mod account;
pub mod log;
mod stderr_log;

pub use account::Account;

#[cfg(target_os = "linux")]
pub mod accounts;
#[cfg(target_os = "linux")]
pub mod credentials;
#[cfg(target_os = "linux")]
pub mod datagram;
#[cfg(target_os = "linux")]
pub mod epoll;
#[cfg(target_os = "linux")]
pub mod exec;
#[cfg(target_os = "linux")]
pub mod family;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod observe;
#[cfg(target_os = "linux")]
pub mod opened;
#[cfg(target_os = "linux")]
pub mod place;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod random;
#[cfg(target_os = "linux")]
pub mod runtime;
#[cfg(target_os = "linux")]
pub mod shared_words;
#[cfg(target_os = "linux")]
pub mod signal;
#[cfg(target_os = "linux")]
pub mod socket;
#[cfg(target_os = "linux")]
pub mod thread;
#[cfg(target_os = "linux")]
pub mod usage;
