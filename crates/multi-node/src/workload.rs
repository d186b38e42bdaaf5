//! Internal: nodes that run something else than this program, for `multi-node-run`.

pub use crate::listen::run_workload as run;

/// Whether the master has started this process as its gateway to other machines.
#[cfg(feature = "nats")]
pub fn is_gateway() -> bool {
    crate::role() == crate::Role::Node && crate::gateway::is_gateway()
}

/// Joins the master's program to those of other machines until the master is gone, in a process whose program has no nodes of its own.
#[cfg(feature = "nats")]
pub async fn gateway() -> crate::Error {
    crate::log::show_without_subscriber();
    crate::gateway::run().await
}
