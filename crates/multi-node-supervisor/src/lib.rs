//! Internal to multi-node, without semver promises: the master's side. It starts nodes, joins them, and replaces those that end. What
//! nodes run is a [`Workload`]: their master's own program is [`Linked`]; `multi-node-run` has programs that don't link the library.
//!
//! A [`Bootstrap`] is what supervision stands on: made by [`Bootstrap::found`], or taken over from another program by [`UpgradeRequest::take_over`].
//! [`Bootstrap::supervise`] supervises. What the program itself holds and serves is its caller's part.

#![cfg(multi_process)]

mod held;
mod output;
mod supervisor;

pub use held::{Held, hold, locate};
use multi_node_fleet::command::NotApplied;
use multi_node_fleet::id::{NodeId, Slot};
use multi_node_fleet::{command, id, leases, machines, status};
use multi_node_process::error::Error;
use multi_node_process::shared_secret::SharedSecret;
use multi_node_process::{
    address, bind, control, descriptors, environment, error, exits, family, identity, log_buffer, mesh, metrics_sink,
    process_links, shared_secret, signals, systemd, tls_state,
};
use multi_node_serve as serve;
use multi_node_sys as sys;
use multi_node_sys::log;
pub use output::{Collect, Output};
pub use supervisor::{
    Beside, Bootstrap, Child, Ends, GatewayPlan, Given, InheritedState, Launch, Launcher, Linked, NodeNews, NodeView,
    Observer, Plan, Process, Properties, Reaction, Registry, SlotArgs, Start, StartContext, TARGET, UpgradeRequest,
    Waits, Welcome, Workload, WorkloadSpec, cannot_close, end, leader, told_to_rest, until_end,
};
