//! Internal to multi-node: its API follows no semantic versioning.
//!
//! Clients that own their sockets, so that they can tell every way in which an answer may fail to come. They are the
//! clients of the command `multi-node probe`, of `multi-node-bench loss`, and of the chaos test.
//!
//! ```text
//! Load::start(plan)              all clients, of every kind, in a thread of their own
//!   client, websocket            one client: request, answer, pause, again
//!     connection                 one socket: a request out, its answer in, or a Failure
//!       target, tls              where it connects, and by which protocol
//!       answer                   what bytes are an answer; pure
//!     request                    what is sent, and which answer it must have; pure
//!     kind                       how a kind of client uses connections and paces its requests; pure
//!     mix                        how connections and requests are shared out among the kinds; pure
//!   tally                        what all clients met, by kind of client and by phase
//! ```

#![allow(missing_docs)]

mod answer;
mod client;
mod connection;
mod failure;
mod kind;
mod load;
mod mix;
mod request;
mod stream;
mod tally;
mod target;
mod task;
mod tls;
mod url;
mod websocket;

pub use answer::{Answer, Reading};
pub use client::ask_once;
pub use connection::Connection;
pub use failure::{Failure, How};
pub use kind::{Kind, Pace};
pub use load::{Clients, Load, Plan};
pub use mix::Mix;
pub use request::{Echoes, Expected, Request, Requests, WebSocket};
pub use tally::{Counts, Lost, Tally};
pub use target::{Target, TargetError};
pub use tls::{TlsError, Trust};
pub use url::{Url, UrlError};
