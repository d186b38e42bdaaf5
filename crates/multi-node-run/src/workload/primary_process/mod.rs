//! The primary process of Node.js programs: the user's own code for the primary (`--primary FILE`), in its own process.
//!
//! For workers the primary is the master ([`node_js`](super::node_js)), which relays between them and this process. So the
//! process can die and come back without any worker's notice. It starts before the nodes and stops after them. A successful
//! reload restarts it, and so does an upgrade.

mod attend;
mod begin;
mod pause;
mod plan;
mod running;
mod talk;

pub(super) use attend::PrimaryProcess;
pub(super) use running::Running;
