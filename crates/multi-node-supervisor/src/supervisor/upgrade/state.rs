//! What a master leaves to its successor.
//!
//! It is written by one release and read by another: every field has a name, unknown ones are ignored, and what comes
//! later needs a default.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lenient;
use crate::command::ReloadReport;
use crate::control::SocketKind;
use crate::family::Family;
use crate::id::{Generation, NodeId, Slot};
use crate::log_buffer::Source;
use crate::mesh::PeerInfo;
use crate::process_links::Totals;
use crate::shared_secret::{Hidden, SharedSecret};
use crate::signals::Kind;
use crate::supervisor::fleet::Saved;
use crate::supervisor::watch::{NodeEvent, Phase};
use crate::supervisor::workload::WorkloadSpec;
use crate::tls_state::TlsState;

/// Everything that continues. Descriptors are sent beside it, by index.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(super) form: u32,
    /// What the release that wrote it does beside that.
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    /// How many descriptors belong to it.
    pub(super) descriptors: usize,
    /// When it was written, on the clock of [`crate::sys::epoll::monotonic_ms`].
    pub(crate) written_ms: u64,
    /// What `ps` shows of the master.
    pub(crate) name: String,
    pub(crate) addresses: Vec<Vec<String>>,
    pub(crate) sockets: Vec<Vec<(SocketKind, FdIndex)>>,
    pub(crate) load: FdIndex,
    pub(crate) wake_fd: FdIndex,
    /// The table of limits. A release that has none left none.
    #[serde(default)]
    pub(crate) limits: Option<FdIndex>,
    pub(crate) images: Vec<ImageState>,
    pub(crate) fleet: Saved,
    /// What nodes have counted that have ended, by slot.
    pub(crate) ended: BTreeMap<Slot, Totals>,
    /// None in a preflight, as nothing below is.
    pub(crate) members: Vec<MemberState>,
    /// Unhandled events of nodes. In all lists below whose entries have kinds, a reader drops the kinds that it does not
    /// know.
    #[serde(with = "lenient")]
    pub(crate) news: Vec<(NodeId, NodeEvent)>,
    /// Signals that were not dealt with, and sockets in which those wait that came during the departure.
    #[serde(with = "lenient")]
    pub(crate) early: Vec<Kind>,
    #[serde(with = "lenient")]
    pub(crate) signals: Vec<(Kind, FdIndex)>,
    pub(crate) stdin: Option<FdIndex>,
    /// How the nodes were replaced for this.
    pub(crate) reload: Option<ReloadReport>,
    /// What all processes of the program share. A release that made none left none.
    #[serde(default)]
    pub(super) secret: Option<SharedSecret>,
    /// What servers with TLS need. A release that has none left none.
    #[serde(default)]
    pub(super) tls: Option<TlsState>,
    /// What the nodes run, in the workload's own form; `None`: the program itself.
    #[serde(default)]
    pub(super) workload: Option<Bytes>,
    /// What nodes write, if it is collected.
    #[serde(default)]
    pub(super) outputs: Vec<OutputState>,
    /// Who guards them.
    #[serde(default)]
    pub(super) guard: Option<GuardState>,
}

/// What a generation runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImageState {
    pub(crate) generation: Generation,
    pub(crate) program: ProgramState,
    pub(crate) master: Option<ProgramState>,
    pub(crate) directory: FdIndex,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProgramState {
    File(FdIndex),
    Script(PathBuf),
}

/// A node, and the conversation with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemberState {
    pub(crate) info: PeerInfo,
    pub(crate) generation: Generation,
    pub(crate) line: usize,
    /// The protocol version that was agreed upon.
    pub(crate) version: Option<u32>,
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    #[serde(default)]
    pub(super) phase: Phase,
    /// The process that counts, if that is not the one that was started.
    #[serde(default)]
    pub(super) main: Option<(u32, FdIndex)>,
    pub(crate) process: FdIndex,
    pub(crate) control: FdIndex,
    pub(crate) read: Bytes,
    pub(crate) read_fds: Vec<FdIndex>,
    pub(crate) unwritten: Vec<FrameState>,
}

/// A stream that a node writes to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutputState {
    pub(super) id: NodeId,
    pub(super) slot: Option<Slot>,
    pub(super) pid: u32,
    pub(super) stream: Source,
    pub(super) pipe: FdIndex,
    pub(super) begun: Bytes,
}

/// A guard, and the processes it knows of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GuardState {
    pub(super) process: FdIndex,
    pub(super) pipe: FdIndex,
    pub(super) told: BTreeMap<NodeId, Family>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct FrameState {
    pub(crate) bytes: Bytes,
    pub(crate) fds: Vec<FdIndex>,
}

/// A welcome holds the shared secret.
impl fmt::Debug for FrameState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FrameState").field("bytes", &Hidden(&self.bytes)).field("fds", &self.fds).finish()
    }
}

/// A descriptor's place among those that travel with the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FdIndex(usize);

/// The descriptors that are to travel.
#[derive(Debug, Default)]
pub struct SentFds<'a>(pub(super) Vec<BorrowedFd<'a>>);

impl<'a> SentFds<'a> {
    /// Has this one travel.
    pub fn add(&mut self, fd: BorrowedFd<'a>) -> FdIndex {
        self.0.push(fd);
        FdIndex(self.0.len() - 1)
    }
}

/// The received descriptors. Unclaimed ones are closed with it.
#[derive(Debug)]
pub struct ReceivedFds(Vec<Option<OwnedFd>>);

impl ReceivedFds {
    pub(super) fn new(fds: Vec<OwnedFd>) -> ReceivedFds {
        ReceivedFds(fds.into_iter().map(Some).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Claims one.
    ///
    /// # Errors
    /// Where it did not come, or was claimed before.
    pub fn take(&mut self, passed: FdIndex) -> io::Result<OwnedFd> {
        let fd = self.0.get_mut(passed.0).and_then(Option::take);
        fd.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the state names a descriptor that did not come"))
    }
}

/// What the state begins with: enough to see whether the rest can be read.
#[derive(Debug, Deserialize)]
pub(super) struct Preamble {
    form: u32,
}

impl Preamble {
    pub(super) fn check(&self) -> Result<(), String> {
        match self.form {
            State::FORM => Ok(()),
            form => Err(format!(
                "its state has the form {form}, this release reads {}; restart the program as a whole",
                State::FORM
            )),
        }
    }
}

impl State {
    /// Changes when a release can no longer continue from another's state, and not for a new field.
    pub(super) const FORM: u32 = 2;

    /// Whether this release can continue from it, and runs the same.
    pub(super) fn check(&self, addresses: &[Vec<String>], workload: &dyn WorkloadSpec) -> Result<(), String> {
        if self.addresses != addresses {
            return Err(format!(
                "the new program wants to serve {}, but the running one has bound {}; other addresses need a restart of the program as a whole",
                listed(addresses),
                listed(&self.addresses),
            ));
        }
        workload.check_left(self.workload.as_deref())
    }
}

fn listed(addresses: &[Vec<String>]) -> String {
    addresses.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
}
