//! Several buses in one process, joined by socket pairs that a small master makes.

#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "in a test a panic is the report")]

mod elsewhere;
mod history;
mod hostile;
mod interest;
mod lag;
mod links;
mod lossy;
mod remote;
mod requests;
mod streams;
mod topics;
mod typed;
mod world;
