//! What nodes write.

use std::convert::Infallible;
use std::io::PipeReader;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::log_buffer::Source;
use crate::{NodeId, Slot, control};

/// One stream of what a node writes. It ends when the last process that writes to it has.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Output {
    /// The node.
    pub id: NodeId,
    /// The slot that it fills; `None`: it is a process beside the nodes, which is none of them.
    pub slot: Option<Slot>,
    /// Its process.
    pub pid: u32,
    /// Its standard output, or its standard error.
    pub stream: Source,
    /// Where it is read.
    #[serde(with = "control::owner")]
    pub pipe: PipeReader,
    /// What was read but not handled yet, such as the beginning of a line. It comes from a collector that was asked to
    /// [`Rest`](Collect::Rest), perhaps from the collector of the previous program.
    pub begun: Vec<u8>,
    /// Dropped with this: all was read and dealt with.
    #[expect(dead_code, reason = "that it is dropped says it all")]
    #[serde(skip)]
    pub(crate) reading: Option<mpsc::Sender<Infallible>>,
}

/// What a collector of output is asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Collect {
    /// Read these from now on. All streams of a node come together.
    Read(Vec<Output>),
    /// Handle what was read, and give back all streams that have not ended, since another program is about to take this one's
    /// place. If they cannot be sent, the upgrade does not happen: read on. If this takes more than 5 s, or no answer comes,
    /// the upgrade fails.
    Rest(oneshot::Sender<Vec<Output>>),
}
