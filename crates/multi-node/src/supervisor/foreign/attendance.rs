//! Attending to one node whose program says little or nothing about itself.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::Note;
use super::node_js::{self, ToPrimary};
use super::notify::NotifySocket;
use super::{observe, probe};
use crate::id::NodeId;
use crate::program::Readiness;
use crate::status::{ProgramStatus, ReadyBy};
use crate::supervisor::heard::Heard;

/// What is watched of one node from the moment that its program runs. Dropped, it watches no more.
#[derive(Debug)]
pub(in crate::supervisor) struct Attendance {
    id: NodeId,
    /// What has been seen.
    pub(in crate::supervisor) seen: ProgramStatus,
    /// The process that signals are sent to, where the program has named another than the one that was started.
    pub(in crate::supervisor) main: Option<OwnedFd>,
    /// The primary of a Node.js program.
    primary: Option<mpsc::Sender<ToPrimary>>,
    /// Whether it has been told to end.
    pub(in crate::supervisor) draining: bool,
    /// Taken when the program runs.
    means: Option<Means>,
    watchers: JoinSet<()>,
    /// The watcher that looks by itself whether the node serves.
    looks: Option<AbortHandle>,
}

/// By what it is watched.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) id: NodeId,
    pub(super) pid: u32,
    pub(super) readiness: Readiness,
    /// After which life it is taken for ready; `None`: it will say so itself.
    pub(super) ready_after: Option<Duration>,
    pub(super) notify: NotifySocket,
    /// The reading end of the notification descriptor.
    pub(super) pipe: Option<OwnedFd>,
    pub(super) node_port: Option<u16>,
    /// The master's end of the channel of a Node.js program, and its primary.
    pub(super) channel: Option<(OwnedFd, mpsc::Sender<ToPrimary>)>,
    /// The inode numbers of the listening sockets.
    pub(super) sockets: BTreeSet<u64>,
}

/// Whom the watchers tell.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    id: NodeId,
    heard: mpsc::Sender<(NodeId, Heard)>,
}

impl Notes {
    pub(super) async fn tell(&self, note: Note) {
        // An error means that the supervisor is gone.
        let _ = self.heard.send((self.id, Heard::Noted(note))).await;
    }

    async fn ready(&self, by: ReadyBy) {
        self.tell(Note::Ready(by)).await;
    }
}

impl Attendance {
    pub(super) fn new(means: Means) -> Attendance {
        Attendance {
            id: means.id,
            seen: ProgramStatus::default(),
            main: None,
            primary: means.channel.as_ref().map(|(_, primary)| primary.clone()),
            draining: false,
            means: Some(means),
            watchers: JoinSet::new(),
            looks: None,
        }
    }

    /// The program runs.
    pub(in crate::supervisor) fn begin(&mut self, heard: mpsc::Sender<(NodeId, Heard)>) {
        let Some(means) = self.means.take() else { return };
        let notes = Notes { id: self.id, heard };
        let Means { id, pid, readiness, ready_after, notify, pipe, node_port, channel, sockets } = means;
        if let Some((channel, primary)) = channel {
            let strict = readiness == Readiness::Notification;
            self.watch(&notes, move |notes| node_js::serve(channel, id, primary, notes, strict));
        }
        self.watch(&notes, |notes| async move { notify.read(pid, &notes).await });
        if let Some(pipe) = pipe {
            self.watch(&notes, |notes| async move {
                if super::notify::newline(pipe).await {
                    notes.ready(ReadyBy::Descriptor).await;
                }
            });
        }
        self.looks = match (readiness, node_port) {
            (Readiness::Http(path), Some(port)) => Some(self.watch(&notes, move |notes| async move {
                probe::answers(port, &path).await;
                notes.ready(ReadyBy::Http).await;
            })),
            (Readiness::Auto, _) => Some(self.watch(&notes, move |notes| async move {
                let by = tokio::select! {
                    () = observe::waits_on_any(pid, &sockets) => ReadyBy::Observation,
                    () = lives_for(ready_after) => ReadyBy::Age,
                };
                notes.ready(by).await;
            })),
            (Readiness::Http(_) | Readiness::Notification, _) => None,
        };
    }

    /// Takes the first sign that the node serves; false for a later one.
    pub(in crate::supervisor) fn becomes_ready(&mut self, by: ReadyBy) -> bool {
        let first = self.seen.ready_by.is_none();
        self.seen.ready_by.get_or_insert(by);
        self.look_no_more();
        first
    }

    /// The node will tell by itself that it serves.
    pub(in crate::supervisor) fn look_no_more(&mut self) {
        if let Some(looks) = self.looks.take() {
            looks.abort();
        }
    }

    /// Has a Node.js program finish and disconnect; false: the program knows no such order.
    pub(in crate::supervisor) fn disconnect(&mut self) -> bool {
        self.draining = true;
        self.tell_primary(ToPrimary::Drain { id: self.id })
    }

    /// The order of what is told matters only for each node, and nothing else is told of a node that drains.
    fn tell_primary(&self, what: ToPrimary) -> bool {
        let Some(primary) = self.primary.clone().filter(|_| self.means.is_none()) else { return false };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return false };
        runtime.spawn(async move { primary.send(what).await });
        true
    }

    fn watch<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        notes: &Notes,
        watcher: impl FnOnce(Notes) -> F,
    ) -> AbortHandle {
        self.watchers.spawn(watcher(notes.clone()))
    }
}

async fn lives_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

impl Drop for Attendance {
    /// The watcher that would tell it is dropped too.
    fn drop(&mut self) {
        self.tell_primary(ToPrimary::Left { id: self.id });
    }
}
