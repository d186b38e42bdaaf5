//! What the gateway to other machines does beside a process's own part: it passes on what comes from there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::sync::watch;

use crate::payload::Payload;
use crate::remote::RemoteProcess;
use crate::request::{AsksElsewhere, Call, Elsewhere, Failure, Requests};
use crate::topic::Topics;

/// Passes messages of other machines on to the processes of this one. Only [`NodeId::GATEWAY`](multi_node_fleet::id::NodeId::GATEWAY) is
/// believed.
#[derive(Debug)]
pub struct Relay {
    topics: Arc<Topics>,
    requests: Arc<Requests>,
    changed: watch::Receiver<()>,
    handlers_changed: watch::Receiver<()>,
}

impl Relay {
    pub(super) fn new(topics: &Arc<Topics>, requests: &Arc<Requests>) -> Relay {
        let (changed, handlers_changed) = (topics.watch_subscribed(), requests.changed());
        Relay { topics: topics.clone(), requests: requests.clone(), changed, handlers_changed }
    }

    /// The topics to which other processes of this machine subscribe.
    pub fn subscribed(&self) -> Vec<Arc<str>> {
        self.topics.subscribed()
    }

    /// Resolves at the next change of [`Relay::subscribed`] since the last call. It is cancel safe.
    pub async fn subscribed_changed(&mut self) {
        // `self.topics` holds the sender.
        let _ = self.changed.changed().await;
    }

    /// A message that a process of another machine has published on the topic, with the publisher's own number. Says to how many
    /// processes it goes.
    pub fn message(&self, topic: &str, from: &RemoteProcess, seq: u64, payload: &Payload) -> usize {
        self.topics.relay(topic, from, seq, payload)
    }

    /// The number of the next message that this process publishes on the topic, so that subscribers see what is lost.
    pub fn next_is(&self, topic: &str, from: &RemoteProcess, next: u64) {
        self.topics.relay_next(topic, from, next);
    }

    /// From now on requests that no process of this machine answers are asked so.
    pub fn ask_elsewhere<F, R>(&self, asks: F)
    where
        F: Fn(Elsewhere) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Payload, Failure>> + Send + 'static,
    {
        self.requests.ask_elsewhere(AsksElsewhere::new(asks));
    }

    /// The handlers of other processes of this machine that take new requests.
    pub fn handlers(&self) -> BTreeSet<String> {
        self.requests.handlers_of_peers()
    }

    /// Resolves after a change of [`Relay::handlers`] since the last call. It is cancel safe.
    pub async fn handlers_changed(&mut self) {
        // `self.requests` holds the sender.
        let _ = self.handlers_changed.changed().await;
    }

    /// Asks the processes of this machine for one of another: any that has the handler, or this one.
    pub fn request(
        &self,
        by: RemoteProcess,
        name: &str,
        to: Option<NodeId>,
        payload: Payload,
        longest: Duration,
    ) -> Call {
        let call = Call::new(&self.requests, name, payload).by(by).timeout(longest);
        match to {
            Some(id) => call.to(id),
            None => call,
        }
    }
}
