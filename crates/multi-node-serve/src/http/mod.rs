//! HTTP/1.1 and HTTP/2 on one port, by hyper.
//!
//! The path of a connection: [`sniff`] reads its first bytes and determines the protocol. [`conn`] drives hyper beside the
//! connection's timeouts and the drain. [`exchange`] wraps the application's service, and [`prefixed_io`] the bytes. Both
//! report to [`progress`], which determines when the connection can be taken from hyper and handed off to another process. [`heads`] finds
//! requests that another process owns.

mod body;
mod builder;
mod clock;
mod conn;
mod exchange;
mod heads;
mod http2;
mod idle_timeout;
mod prefixed_io;
mod progress;
mod proxy;
mod shared;
mod sniff;
mod streams;

pub use body::{RequestBody, RequestBodyError};
pub use builder::{Http, HttpBuilder, http, http_with};
pub use streams::Http2Executor;

#[cfg(all(test, multi_process))]
mod busy_tests;
#[cfg(test)]
mod deadline_tests;
#[cfg(test)]
mod drain_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(all(test, multi_process))]
mod handoff_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod loopback;
#[cfg(all(test, multi_process))]
mod owner_tests;
#[cfg(test)]
mod tests;
