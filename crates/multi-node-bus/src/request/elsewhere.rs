//! Requests to processes of other machines, which go by the gateway, and what the gateway does for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use multi_node_fleet::id::NodeId;

use super::answer::Asked;
use super::flight::{Sending, Sent};
use super::handler::{AsksElsewhere, Handler};
use super::peers::Peer;
use super::table::{Requests, State};
use super::{RequestError, Target};
use crate::remote::RemoteProcess;

impl Requests {
    /// No process of this machine has the handler: the gateway asks others, where there is one.
    pub(super) fn send_to_any_elsewhere(self: &Arc<Self>, sending: &Sending<'_>) -> Result<Sent, RequestError> {
        match self.has_gateway() {
            true => self.send_to_gateway(Target::Any, NodeId::GATEWAY, sending, None),
            false => Err(self.no_handler(sending)),
        }
    }

    /// A process of another machine that has been named to this one.
    pub(super) fn send_to_remote(self: &Arc<Self>, id: NodeId, sending: &Sending<'_>) -> Result<Sent, RequestError> {
        match self.remotes.get(id).filter(|_| self.has_gateway()) {
            Some(process) => self.send_to_gateway(id.into(), id, sending, Some(&process)),
            None => Err(RequestError::NoSuchNode(sending.target)),
        }
    }

    fn send_to_gateway(
        self: &Arc<Self>,
        target: Target,
        asked: NodeId,
        sending: &Sending<'_>,
        process: Option<&RemoteProcess>,
    ) -> Result<Sent, RequestError> {
        let state = self.lock();
        match state.peers.get(&NodeId::GATEWAY).map(|peer| peer.link.clone()) {
            Some(link) => self.send_over(state, &link, (target, asked), sending, process),
            None => {
                drop(state);
                self.want(NodeId::GATEWAY, sending)
            }
        }
    }

    /// Whether other machines can be asked. The gateway itself asks only the processes of its own.
    fn has_gateway(&self) -> bool {
        self.me != NodeId::GATEWAY && self.members.speaks_bus(NodeId::GATEWAY) == Some(true)
    }

    /// The gateway has to know which handlers there are.
    pub(crate) fn want_gateway(&self) {
        if !self.lock().handlers.is_empty() {
            self.members.want(NodeId::GATEWAY);
        }
    }

    /// This process is the gateway, and asks other machines so.
    pub(crate) fn ask_elsewhere(&self, asks: AsksElsewhere) {
        self.lock().asks_elsewhere = Some(asks);
    }

    /// The handlers of other processes that take new requests.
    pub(crate) fn handlers_of_peers(&self) -> BTreeSet<String> {
        let state = self.lock();
        let peers = state.peers.values().filter(|peer| !peer.draining);
        peers.flat_map(Peer::handlers).map(str::to_owned).collect()
    }
}

impl State {
    /// What answers this request: a handler of this process, or in the gateway other machines.
    pub(super) fn handler_for(&self, asked: &Asked<'_>) -> Option<Handler> {
        let elsewhere = || Some(Handler::elsewhere(self.asks_elsewhere.as_ref()?, asked.name, asked.to.clone()));
        match asked.to {
            Some(_) => elsewhere(),
            None => self.handlers.get(asked.name).cloned().or_else(elsewhere),
        }
    }
}
