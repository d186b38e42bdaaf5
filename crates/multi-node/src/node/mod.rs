//! The child: a process that the master started, from its first look at fd 0 to its last answer.

mod leases;
mod life;
mod master;
mod measures;
mod orphan;
mod owners;
mod parent;
mod run;

#[cfg(feature = "nats")]
pub(crate) use parent::Parent;
pub(crate) use parent::{claim, is_node};
pub(crate) use run::join;
