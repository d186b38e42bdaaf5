//! What nodes write.

use std::io::PipeReader;

use crate::{NodeId, Slot};

/// The reading ends of one node's standard output and error, which end when the last process that writes to them has.
#[derive(Debug)]
#[non_exhaustive]
pub struct Output {
    /// The node.
    pub id: NodeId,
    /// The slot that it fills.
    pub slot: Slot,
    /// Its process.
    pub pid: u32,
    /// Its standard output.
    pub stdout: PipeReader,
    /// Its standard error.
    pub stderr: PipeReader,
}
