//! Real processes: what the rules promise, seen from outside.

#![allow(missing_docs)]

mod addresses;
mod affinity;
mod alone;
mod before_listen;
mod bus;
mod busy;
mod canary;
mod commands;
mod control;
mod crash;
mod examples;
mod floods;
mod foreign_programs;
mod handoff;
mod hang;
mod http;
mod identity;
mod leader;
mod leftovers;
mod lifetimes;
mod limits;
mod memory;
mod mesh;
mod metrics;
mod open_files;
mod orphan;
mod pid1;
mod queue;
mod raw;
mod recycle;
mod reload;
mod sessions;
mod shutdown;
mod single;
mod stderr_log;
mod systemd;
mod threads;
mod tls;
mod unread;
mod upgrade;
mod upgrade_state;
mod versions;
