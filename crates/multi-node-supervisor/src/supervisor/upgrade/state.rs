//! What a master leaves to its successor.
//!
//! It is written by one release and read by another: every field has a name, unknown ones are ignored, and what comes
//! later needs a default. That holds for the types of its fields too.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::lenient;
use crate::command::ReloadReport;
use crate::control::{Encoded, Fd, PassedSocket};
use crate::id::{Generation, NodeId, Slot};
use crate::output::Output;
use crate::process_links::Totals;
use crate::shared_secret::SharedSecret;
use crate::signals::Kind;
use crate::supervisor::child::Image;
use crate::supervisor::fleet::Saved;
use crate::supervisor::guard::GuardProcess;
use crate::supervisor::member::SuspendedMember;
use crate::supervisor::members::Members;
use crate::supervisor::watch::NodeEvent;
use crate::supervisor::workload::{WorkloadSpec, listed};
use crate::tls_state::TlsState;
use crate::{control, sys};

/// What an upgrade fails with where this program is built without it.
pub(super) const LEFT_OUT: Option<&str> =
    if cfg!(feature = "upgrade") { None } else { Some("the program is built without multi-node's feature `upgrade`") };

/// Everything that continues.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(super) form: u32,
    /// What the release that wrote it does beside that.
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    /// When it was written, on the clock of [`crate::sys::epoll::monotonic_ms`].
    pub(crate) written_ms: u64,
    /// What `ps` shows of the master.
    pub(crate) name: String,
    pub(crate) addresses: Vec<Vec<String>>,
    pub(crate) sockets: Vec<Vec<PassedSocket>>,
    pub(crate) load: Fd,
    pub(crate) wake_fd: Fd,
    /// The table of limits. A release that has none left none.
    #[serde(default)]
    pub(crate) limits: Option<Fd>,
    pub(crate) images: BTreeMap<Generation, Image>,
    pub(crate) fleet: Saved,
    /// What nodes have counted that have ended, by slot.
    pub(crate) ended: BTreeMap<Slot, Totals>,
    /// What all processes of the program share. A release that made none left none.
    #[serde(default)]
    pub(super) secret: Option<SharedSecret>,
    /// What servers with TLS need. A release that has none left none.
    #[serde(default)]
    pub(super) tls: Option<TlsState>,
    /// What the nodes run, in the workload's own form; `None`: the program itself.
    #[serde(default)]
    pub(super) workload: Option<Encoded>,
    /// What rests for it; `None` in a preflight.
    #[serde(default)]
    pub(super) rested: Option<Rested>,
}

/// What is there only while nothing goes on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rested {
    pub(super) members: Vec<SuspendedMember>,
    /// Unhandled events of nodes. In all lists below whose entries have kinds, a reader drops the kinds that it does not
    /// know.
    #[serde(with = "lenient")]
    pub(super) news: Vec<(NodeId, NodeEvent)>,
    /// Signals that were not dealt with.
    #[serde(with = "lenient")]
    pub(super) early: Vec<Kind>,
    /// Sockets in which those wait that came during the departure.
    #[serde(with = "lenient")]
    pub(super) signals: Vec<(Fd, Kind)>,
    pub(super) stdin: Option<Fd>,
    /// How the nodes were replaced for this.
    pub(super) reload: Option<ReloadReport>,
    /// What nodes write, if it is collected.
    pub(super) outputs: Vec<Output>,
    /// Who guards them.
    pub(super) guard: Option<GuardProcess>,
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
    pub(super) const FORM: u32 = 3;

    /// What is there at any time, also while nodes are spoken to.
    pub(super) fn of(members: &Members, fleet: Saved) -> io::Result<State> {
        let template = &members.template;
        Ok(State {
            form: State::FORM,
            capabilities: control::capabilities(),
            written_ms: sys::epoll::monotonic_ms(),
            name: sys::process::name(),
            addresses: template.addresses.clone(),
            sockets: PassedSocket::all(&template.sockets)?,
            load: Fd::duplicate(&template.load_file)?,
            wake_fd: Fd::duplicate(&template.wake_fd)?,
            limits: Some(Fd::duplicate(&template.limits.1)?),
            images: members.launcher.images.clone(),
            fleet,
            ended: members.ended.clone(),
            secret: Some(template.secret.clone()),
            tls: template.tls.view.borrow().state.clone(),
            workload: template.workload.save()?,
            rested: None,
        })
    }

    /// Whether this release can continue from it, and runs the same.
    pub(super) fn check(&self, addresses: &[Vec<String>], workload: &dyn WorkloadSpec) -> Result<(), String> {
        if self.addresses != addresses {
            return Err(format!(
                "the new program wants to serve {}, but the running one has bound {}; other addresses need a restart of the program as a whole",
                listed(addresses),
                listed(&self.addresses),
            ));
        }
        workload.check_left(self.workload.as_ref())
    }
}
