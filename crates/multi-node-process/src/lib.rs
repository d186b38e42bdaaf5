//! Internal to multi-node, without semver promises: what every process of a program has, its master and its nodes alike.
//!
//! How they know each other (`environment`, `family`), what they say to each other ([`control`], [`mesh`]), their addresses, signals and
//! descriptors, and what each process's loop shares with its program ([`process_links`]). Who leads and who follows is decided elsewhere: neither
//! is named here.

// What only several processes need stands by in the single-process build, so that each file is the same on every system.
#![cfg_attr(not(multi_process), allow(dead_code, unreachable_pub, unused_imports))]
#![allow(
    missing_docs,
    reason = "a field whose name says all needs no line in an internal crate, but for what users see"
)]

pub mod address;
pub mod bind;
#[cfg(multi_process)]
pub mod control;
#[cfg(multi_process)]
pub mod descriptors;
pub mod environment;
#[warn(missing_docs)]
pub mod error;
#[warn(missing_docs)]
pub mod exits;
#[cfg(multi_process)]
pub mod family;
#[cfg(all(test, multi_process))]
mod fuzz_tests;
pub mod identity;
#[cfg(multi_process)]
pub mod lease_files;
#[warn(missing_docs)]
pub mod log_buffer;
#[warn(missing_docs)]
pub mod mesh;
pub mod metrics_sink;
pub mod process_links;
#[cfg(multi_process)]
pub mod run_directory;
#[cfg(multi_process)]
pub mod runtime_directory;
#[warn(missing_docs)]
pub mod shared_secret;
pub mod signals;
#[cfg(multi_process)]
pub mod systemd;
pub mod tls_state;

use error::Error;
use multi_node_fleet::id::{NodeId, Slot};
#[cfg(multi_process)]
use multi_node_fleet::machines;
use multi_node_fleet::status::Exit;
use multi_node_fleet::{command, id, status};
use multi_node_metrics as metrics;
use multi_node_serve as serve;
#[cfg(multi_process)]
use multi_node_sys as sys;
use multi_node_sys::log;
