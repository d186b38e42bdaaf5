//! HTTP/1.1 and HTTP/2 on one port, by hyper.
//!
//! A connection's way: [`sniff`] reads its first bytes and tells the protocol, [`conn`] drives hyper beside the connection's
//! timeouts and the drain, [`exchange`] stands around the application's service, and [`rewound`] around the bytes.

mod builder;
mod conn;
mod exchange;
mod proxy;
mod rewound;
mod sniff;

pub use builder::{Http, HttpBuilder, http, http_with};
pub use exchange::ConnInfo;

#[cfg(test)]
mod tests;
