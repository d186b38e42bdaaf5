//! Real processes: what the rules promise, seen from outside.

#![allow(missing_docs)]

mod chat;
mod crash;
mod hang;
mod lifetimes;
mod mesh;
mod orders;
mod orphan;
mod pid1;
mod reload;
mod shutdown;
