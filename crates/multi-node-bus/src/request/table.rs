//! The requests of this process and those of others that it handles, behind one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use multi_node_fleet::id::{NodeId, Slot};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::error::Failure;
use super::handler::{AsksElsewhere, Handler};
use super::peers::Peer;
use super::{RequestError, RespondError, Target};
use crate::counts::Counts;
use crate::frame::{Head, Kind};
use crate::limits::BusLimits;
use crate::members::Members;
use crate::name::is_name;
use crate::payload::Payload;
use crate::remote::Remotes;

/// Requests and handlers of one process.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(super) me: NodeId,
    pub(super) limits: BusLimits,
    pub(super) counts: Arc<Counts>,
    pub(super) members: Arc<Members>,
    pub(super) remotes: Arc<Remotes>,
    pub(super) runtime: Handle,
    state: Mutex<State>,
    /// Changes with the peers that can be asked and their handlers.
    pub(super) changed: watch::Sender<()>,
    /// Wakes the task that looks at deadlines, since one comes earlier than it waits for.
    pub(super) earlier_deadline: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) handlers: HashMap<Arc<str>, Handler>,
    /// In the gateway: asks other machines.
    pub(super) asks_elsewhere: Option<AsksElsewhere>,
    pub(super) own_slot: Option<Slot>,
    pub(super) draining: bool,
    /// The peers with an open link.
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// This process's requests, those to itself included, by number.
    pub(super) waiting: HashMap<u64, Waiting>,
    /// This process's requests to itself.
    pub(super) own_in_flight: usize,
    pub(super) last_request: u64,
    /// What this process handles for peers.
    pub(super) running: HashMap<Key, Running>,
    /// When the next deadline is looked at. None while nothing is in flight.
    pub(super) next_deadline: Option<Instant>,
    /// Turns among peers that have equally few in flight.
    pub(super) rotation: usize,
}

/// A request of this process that awaits its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) peer: NodeId,
    pub(super) epoch: u64,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Answered>,
}

/// A request of a peer that is handled.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) task: AbortHandle,
    pub(super) deadline: Instant,
}

/// What came for a request.
#[derive(Debug)]
pub(super) enum Answered {
    Payload(Payload),
    Failure(Failure),
    Gone,
    TimedOut,
}

/// A request of a peer: who asks, over which link, with which number.
pub(super) type Key = (NodeId, u64, u64);

impl Requests {
    pub(crate) fn new(
        me: NodeId,
        limits: BusLimits,
        counts: Arc<Counts>,
        members: Arc<Members>,
        remotes: Arc<Remotes>,
        runtime: Handle,
    ) -> Requests {
        let (state, changed, earlier_deadline) = (Mutex::default(), watch::Sender::new(()), Notify::new());
        Requests { me, limits, counts, members, remotes, runtime, state, changed, earlier_deadline }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The processes of other machines that have been named to this one.
    pub(crate) fn remotes(&self) -> &Arc<Remotes> {
        &self.remotes
    }

    /// Sees each later change of the peers that can be asked and their handlers.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn set_own_slot(&self, slot: Option<Slot>) {
        self.lock().own_slot = slot;
    }

    /// Takes a handler, and tells the peers. The gateway has to know it.
    pub(crate) fn respond(&self, name: &str, handler: Handler) -> Result<(), RespondError> {
        if !is_name(name) {
            return Err(RespondError::Name(name.len()));
        }
        let mut state = self.lock();
        if state.handlers.contains_key(name) {
            return Err(RespondError::Exists(name.to_owned()));
        }
        if state.handlers.len() >= self.limits.handlers {
            return Err(RespondError::TooMany(self.limits.handlers));
        }
        state.handlers.insert(name.into(), handler);
        state.tell_peers(Kind::Handler, name);
        drop(state);
        self.want_gateway();
        self.changed.send_replace(());
        Ok(())
    }

    /// Takes a handler away, and tells the peers. Requests that it handles go on. False when there is none.
    pub(crate) fn stop_responding(&self, name: &str) -> bool {
        let mut state = self.lock();
        let existed = state.handlers.remove(name).is_some();
        if existed {
            state.tell_peers(Kind::HandlerGone, name);
        }
        drop(state);
        self.changed.send_replace(());
        existed
    }

    /// Takes no new requests to `any`, and tells the peers.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        state.tell_peers(Kind::Draining, "");
        drop(state);
        self.changed.send_replace(());
    }

    /// How many requests of this process await their answer, and how many it handles.
    pub(crate) fn in_flight(&self) -> (u64, u64) {
        let state = self.lock();
        let own = state.own_in_flight;
        (state.waiting.len() as u64, (state.running.len() + own) as u64)
    }
}

impl State {
    fn tell_peers(&self, kind: Kind, name: &str) {
        for peer in self.peers.values() {
            peer.link.control(Head::new(kind), &[name.as_bytes()]);
        }
    }

    pub(super) fn answered(&mut self, peer: NodeId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.in_flight = peer.in_flight.saturating_sub(1);
        }
    }

    /// Refuses everything that was sent over this link.
    pub(super) fn take_waiting(&mut self, peer: NodeId, epoch: u64) -> Vec<Waiting> {
        let sent = self.waiting.extract_if(|_, waiting| waiting.peer == peer && waiting.epoch <= epoch);
        sent.map(|(_, waiting)| waiting).collect()
    }

    /// What this process handles for the peer over this link.
    pub(super) fn take_running(&mut self, peer: NodeId, epoch: u64) -> Vec<AbortHandle> {
        let of_link = self.running.extract_if(|key, _| key.0 == peer && key.1 <= epoch);
        of_link.map(|(_, running)| running.task).collect()
    }
}

impl Answered {
    pub(super) fn into_result(
        self,
        name: &str,
        target: Target,
        peer: NodeId,
        timeout: std::time::Duration,
    ) -> Result<Payload, RequestError> {
        match self {
            Answered::Payload(payload) => Ok(payload),
            Answered::Failure(failure) => Err(failure.into_error(name, target, peer)),
            // The link to the gateway is broken, by which the process was asked.
            Answered::Gone if peer.is_remote() => Err(RequestError::Gone(NodeId::GATEWAY)),
            Answered::Gone => Err(RequestError::Gone(peer)),
            Answered::TimedOut => Err(RequestError::TimedOut(timeout)),
        }
    }
}
