//! Real processes: what the rules promise, seen from outside.

#![allow(missing_docs)]

mod accept;
mod addresses;
mod chat;
mod http;
mod idle;
mod mesh;
mod queue;
mod raw;
mod single;
mod threads;
