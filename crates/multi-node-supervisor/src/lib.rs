//! Internal to multi-node, without semver promises: the master's side. It starts nodes, of its own program or of others, joins them, and
//! replaces those that end. What a node does is not known here, but for what it says.
//!
//! A [`Bootstrap`] is what supervision stands on: made by [`Bootstrap::found`], or taken over from another program by [`UpgradeRequest::take_over`].
//! [`Bootstrap::supervise`] supervises. What the program itself holds and serves is its caller's part.

#![cfg(multi_process)]

mod foreign;
mod held;
mod output;
mod supervisor;

pub use foreign::{Program, Readiness, Sockets, preload};
use multi_node_fleet::command::NotApplied;
use multi_node_fleet::id::{NodeId, Slot};
use multi_node_fleet::{command, id, leases, status};
use multi_node_process::error::Error;
use multi_node_process::shared_secret::SharedSecret;
use multi_node_process::{
    address, bind, control, descriptors, environment, error, exits, family, identity, log_buffer, mesh, metrics_sink,
    process_links, runtime_directory, shared_secret, signals, systemd, tls_state,
};
use multi_node_serve as serve;
use multi_node_sys as sys;
use multi_node_sys::log;
pub use output::{Collect, Output};
pub use supervisor::{
    Beside, Bootstrap, Ends, FdIndex, Given, InheritedState, Linked, NodeNews, NodeView, Observer, Plan, Properties,
    Reaction, ReceivedFds, SentFds, ServerSockets, SlotArgs, Start, StartContext, UpgradeRequest, Waits, Welcome,
    Workload, WorkloadSpec, cannot_close,
};
