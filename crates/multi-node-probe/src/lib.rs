//! Internal to multi-node: its API follows no semantic versioning.
//!
//! Clients that own their sockets, so that they can tell every way in which an answer may fail to come.
//!
//! ```text
//! Load::start(target, plan)      all clients, of every kind, in a thread of their own
//!   client, websocket            one client: request, answer, pause, again
//!     connection                 one socket: a request out, its answer in, or a Failure
//!       answer                   what bytes are an answer; pure
//!   tally                        what all clients met, by kind of load and by phase
//! ```

#![allow(missing_docs)]

mod answer;
mod client;
mod connection;
mod failure;
mod kind;
mod load;
mod tally;
mod websocket;

pub use connection::Connection;
pub use failure::{Failure, How};
pub use kind::Kind;
pub use load::{Load, Plan};
pub use tally::{Counts, Lost, Tally};
