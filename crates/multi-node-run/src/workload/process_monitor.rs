//! Attending to one node whose program says little or nothing about itself.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::ProcessEvent;
use super::node_js::{Channel, ToPrimary};
use super::notify::{self, NotifySocket};
use super::{observe, probe};
use crate::id::{NodeId, Slot};
use crate::program::Readiness;
use crate::status::{ProgramStatus, ReadyBy};
use crate::supervisor::Observer;

/// The log text about a Node.js program that does not serve.
const LISTENS_NOT: &str = "none of its servers listens, and it has not called `process.send(\"ready\")`; if it is to serve \
    nothing, run it with --ready=age";

/// What is watched of one node from the moment that its program runs. Dropped, it watches no more.
#[derive(Debug)]
pub(super) struct ProcessMonitor {
    pub(super) id: NodeId,
    /// What has been seen.
    pub(super) seen: ProgramStatus,
    /// The primary of a Node.js program.
    primary: Option<mpsc::Sender<ToPrimary>>,
    /// Whether it has been asked to end.
    pub(super) draining: bool,
    pub(super) signs: Signs,
    /// The message by which it has announced readiness, if that alone is not enough.
    pub(super) notified: Option<ReadyBy>,
    /// Whether it no longer matters if it stays ready.
    is_settled: bool,
    /// Its message channels, while nothing reads them.
    pub(super) ears: Vec<Ear>,
    /// Whether the program runs.
    pub(super) begun: bool,
    /// Whether it links this crate.
    pub(super) is_linked: bool,
    watchers: JoinSet<Option<Ear>>,
    /// The watcher that checks on its own whether the node serves.
    looks: Option<AbortHandle>,
}

/// The signs by which the master sees that it serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Signs {
    pub(super) pid: u32,
    #[serde(default)]
    pub(super) slot: Option<Slot>,
    pub(super) readiness: Readiness,
    /// How long it has to run before it is assumed ready; `None`: it will report readiness itself.
    pub(super) ready_after: Option<Duration>,
    pub(super) node_port: Option<u16>,
    /// The inode numbers of the listening sockets.
    pub(super) sockets: BTreeSet<u64>,
    /// The addresses of these.
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    /// The program and its arguments.
    #[serde(default)]
    pub(super) words: Vec<String>,
}

impl Signs {
    /// Whether this sign alone means that the node serves. A message of a program that has a socket does not: some programs
    /// send it before any process waits for connections.
    fn suffices(&self, by: ReadyBy) -> bool {
        let is_notice = matches!(by, ReadyBy::Notification | ReadyBy::Descriptor);
        match self.readiness {
            _ if by == ReadyBy::Linked => true,
            Readiness::Auto => !is_notice || self.sockets.is_empty(),
            Readiness::Notification => is_notice || by == ReadyBy::Message,
            Readiness::Http(_) => by == ReadyBy::Http,
            Readiness::Age => by == ReadyBy::Assumed,
        }
    }
}

/// A channel for the program's own messages.
#[derive(Debug)]
pub(super) enum Ear {
    Socket(NotifySocket),
    /// The reading end of the notification descriptor.
    Pipe(OwnedFd),
    /// The channel of a Node.js program.
    Channel(Channel),
}

/// Where the watchers send their events, until they are suspended.
#[derive(Clone, Debug)]
pub(super) struct ProcessEvents {
    observer: Observer,
    pub(super) rest: watch::Receiver<bool>,
}

impl ProcessEvents {
    pub(super) fn new(observer: Observer) -> ProcessEvents {
        ProcessEvents { rest: observer.rest(), observer }
    }

    pub(super) async fn tell(&self, note: ProcessEvent) {
        self.observer.tell(note.encode()).await;
    }

    pub(super) async fn ready(&self, by: ReadyBy) {
        self.tell(ProcessEvent::Ready(by)).await;
    }
}

impl ProcessMonitor {
    pub(super) fn new(id: NodeId, signs: Signs, ears: Vec<Ear>) -> ProcessMonitor {
        let primary = ears.iter().find_map(|ear| match ear {
            Ear::Channel(channel) => Some(channel.primary()),
            Ear::Socket(_) | Ear::Pipe(_) => None,
        });
        ProcessMonitor {
            id,
            seen: ProgramStatus::default(),
            primary,
            draining: false,
            signs,
            notified: None,
            is_settled: false,
            ears,
            begun: false,
            is_linked: false,
            watchers: JoinSet::new(),
            looks: None,
        }
    }

    /// The program runs.
    pub(super) fn begin(&mut self, observer: Observer) {
        self.begun = true;
        self.resume(observer);
    }

    /// What has not been seen of it, as long as it is not ready.
    pub(super) fn lacks(&self) -> String {
        match (&self.signs.readiness, self.signs.ready_after) {
            (Readiness::Notification, _) => "it has not said that it is ready".to_owned(),
            (Readiness::Http(path), _) => {
                format!("GET {path} on its own port was not answered with a status below 400")
            }
            (Readiness::Age, _) => "it has not lived for as long as --ready-after says".to_owned(),
            (Readiness::Auto, _) if self.primary.is_some() => LISTENS_NOT.to_owned(),
            (Readiness::Auto, _) if !self.signs.sockets.is_empty() => observe::nobody_waits(&self.signs),
            (Readiness::Auto, Some(_)) => "nothing was seen of it".to_owned(),
            (Readiness::Auto, None) => "it has not reached `listen`".to_owned(),
        }
    }

    /// Continues after a suspension.
    pub(super) fn resume(&mut self, observer: Observer) {
        if !self.begun {
            return;
        }
        let notes = ProcessEvents::new(observer);
        for ear in std::mem::take(&mut self.ears) {
            self.listen(ear, &notes);
        }
        if self.seen.ready_by.is_none() && !self.is_linked {
            self.looks = self.look(notes);
        }
    }

    /// Waits until the watchers have stopped. They have been asked to.
    pub(super) async fn rest(&mut self) {
        if let Some(looks) = self.looks.take() {
            looks.abort();
        }
        while let Some(watched) = self.watchers.join_next().await {
            self.ears.extend(watched.ok().flatten());
        }
    }

    fn listen(&mut self, ear: Ear, notes: &ProcessEvents) {
        let (notes, pid, slot, id) = (notes.clone(), self.signs.pid, self.signs.slot, self.id);
        let strict = self.signs.readiness == Readiness::Notification;
        self.watchers.spawn(async move {
            match ear {
                Ear::Socket(socket) => {
                    socket.read(pid, &notes).await;
                    Some(Ear::Socket(socket))
                }
                Ear::Pipe(pipe) => notify::newline(pipe, &notes).await.map(Ear::Pipe),
                Ear::Channel(channel) => channel.serve((id, pid, slot), notes, strict).await.map(Ear::Channel),
            }
        });
    }

    /// Checks whether the node serves, and then whether it continues to.
    fn look(&mut self, notes: ProcessEvents) -> Option<AbortHandle> {
        let signs = self.signs.clone();
        let explains = self.primary.is_none();
        match (signs.readiness.clone(), signs.node_port) {
            (Readiness::Http(path), Some(port)) => Some(self.watchers.spawn(async move {
                probe::answers(port, &path).await;
                notes.ready(ReadyBy::Http).await;
                notes.tell(ProcessEvent::Unready(probe::fails(port, &path).await)).await;
                None
            })),
            (Readiness::Auto, _) => Some(self.watchers.spawn(async move {
                tokio::select! {
                    () = observe::serves(&signs, explains, &notes) => notes.ready(ReadyBy::SocketInUse).await,
                    () = lives_for(signs.ready_after) => {
                        notes.ready(ReadyBy::Assumed).await;
                        return None;
                    }
                }
                notes.tell(ProcessEvent::Unready(observe::lost(&signs).await)).await;
                None
            })),
            (Readiness::Age, _) => Some(self.watchers.spawn(async move {
                lives_for(signs.ready_after).await;
                notes.ready(ReadyBy::Assumed).await;
                None
            })),
            (Readiness::Http(_) | Readiness::Notification, _) => None,
        }
    }

    /// Handles a sign that the node serves. Returns the sign by which it is ready now; `None`: it is not ready, or was
    /// before. The watcher of that sign continues, and reports if the sign is gone, until the node has
    /// [`settled`](Self::settled).
    pub(super) fn becomes_ready(&mut self, by: ReadyBy) -> Option<ReadyBy> {
        if self.seen.ready_by.is_some() {
            return None;
        }
        if !self.signs.suffices(by) {
            self.notified.get_or_insert(by);
            return None;
        }
        if !matches!(by, ReadyBy::SocketInUse | ReadyBy::Http) {
            self.look_no_more();
        }
        self.seen.ready_by = Some(self.notified.filter(|_| by == ReadyBy::SocketInUse).unwrap_or(by));
        self.seen.ready_by
    }

    /// It no longer matters whether the node stays ready.
    pub(super) fn settled(&mut self) {
        self.is_settled = true;
        self.look_no_more();
    }

    /// Whether to report that the node serves no more.
    pub(super) fn is_watched(&self) -> bool {
        self.seen.ready_by.is_some() && !self.is_settled && !self.draining
    }

    /// What its program was started with.
    pub(super) fn words(&self) -> &[String] {
        &self.signs.words
    }

    /// It links this crate, and will report readiness itself.
    pub(super) fn links(&mut self) {
        self.is_linked = true;
        self.look_no_more();
    }

    fn look_no_more(&mut self) {
        if let Some(looks) = self.looks.take() {
            looks.abort();
        }
    }

    /// Asks a Node.js program to finish and disconnect; false: the program does not know such a command.
    pub(super) fn disconnect(&mut self) -> bool {
        self.draining = true;
        let (Some(primary), id) = (self.primary.clone().filter(|_| self.begun), self.id) else { return false };
        self.watchers.spawn(async move {
            // An error means that the master ends.
            let _ = primary.send(ToPrimary::Drain { id }).await;
            None
        });
        true
    }

    /// The channel of a Node.js program, while it rests.
    pub(super) fn channel(&mut self) -> Option<&mut Channel> {
        self.ears.iter_mut().find_map(|ear| match ear {
            Ear::Channel(channel) => Some(channel),
            Ear::Socket(_) | Ear::Pipe(_) => None,
        })
    }
}

async fn lives_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

impl Drop for ProcessMonitor {
    /// The watcher that would tell it is dropped too.
    fn drop(&mut self) {
        let (Some(primary), id) = (self.primary.clone().filter(|_| self.begun), self.id) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { primary.send(ToPrimary::Left { id }).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_signs_that_suffice() {
        use ReadyBy::{Assumed, Descriptor, Http, Linked, Message, Notification, SocketInUse};
        let all = [Notification, Descriptor, Message, Linked, Http, SocketInUse, Assumed];
        let cases: [(Readiness, bool, &[ReadyBy]); 6] = [
            (Readiness::Auto, true, &[Message, Linked, Http, SocketInUse, Assumed]),
            (Readiness::Auto, false, &all),
            (Readiness::Notification, true, &[Notification, Descriptor, Message, Linked]),
            (Readiness::Notification, false, &[Notification, Descriptor, Message, Linked]),
            (Readiness::Http("/".to_owned()), true, &[Linked, Http]),
            (Readiness::Age, true, &[Linked, Assumed]),
        ];
        for (readiness, has_socket, expected) in cases {
            let signs = signs(readiness, has_socket);
            let suffice: Vec<_> = all.into_iter().filter(|by| signs.suffices(*by)).collect();
            assert_eq!(suffice, expected, "{:?} with a socket: {has_socket}", signs.readiness);
        }
    }

    #[test]
    fn what_has_notified_is_ready_once_somebody_waits() {
        let mut monitor = ProcessMonitor::new(NodeId::node(1), signs(Readiness::Auto, true), Vec::new());
        assert_eq!(monitor.becomes_ready(ReadyBy::Notification), None);
        assert_eq!(monitor.becomes_ready(ReadyBy::SocketInUse), Some(ReadyBy::Notification));
        assert_eq!(monitor.becomes_ready(ReadyBy::SocketInUse), None, "it was before");
        assert!(monitor.is_watched());
        monitor.settled();
        assert!(!monitor.is_watched());
    }

    fn signs(readiness: Readiness, has_socket: bool) -> Signs {
        let sockets = has_socket.then_some(4711).into_iter().collect();
        let (addresses, words) = (Vec::new(), Vec::new());
        Signs { pid: 1, slot: None, readiness, ready_after: None, node_port: None, sockets, addresses, words }
    }
}
