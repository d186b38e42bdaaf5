//! What the gateway to other machines does beside a process's own part: it passes on what comes from there.

use std::sync::Arc;

use tokio::sync::watch;

use crate::payload::Payload;
use crate::remote::RemoteProcess;
use crate::topic::Topics;

/// Passes messages of other machines on to the processes of this one. Only [`NodeId::GATEWAY`](multi_node_fleet::id::NodeId::GATEWAY) is
/// believed.
#[derive(Debug)]
pub struct Relay {
    topics: Arc<Topics>,
    changed: watch::Receiver<()>,
}

impl Relay {
    pub(super) fn new(topics: &Arc<Topics>) -> Relay {
        Relay { topics: topics.clone(), changed: topics.watch_subscribed() }
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
}
