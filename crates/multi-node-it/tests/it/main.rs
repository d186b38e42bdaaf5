//! Real processes: what the rules promise, seen from outside.

#![allow(missing_docs)]

mod accept;
mod addresses;
mod canary;
mod chaos;
mod chat;
mod control;
mod crash;
mod hand_over;
mod hang;
mod http;
mod idle;
mod lifetimes;
mod memory;
mod mesh;
mod metrics;
mod orders;
mod orphan;
mod pid1;
mod queue;
mod raw;
mod recycle;
mod reload;
mod shutdown;
mod single;
mod systemd;
mod threads;
mod unread;
mod upgrade;
mod versions;
