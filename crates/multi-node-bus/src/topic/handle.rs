//! A topic as programs hold it.

use std::sync::Arc;

use multi_node_fleet::id::NodeId;

use super::state::Topic;
use super::{PublishError, Published, Subscribing, TopicError, Topics};
use crate::payload::Payload;

/// A topic of payloads. Clones are the same topic, which ends here with the last of them and of its subscriptions.
#[derive(Debug)]
pub struct RawTopic {
    topics: Arc<Topics>,
    topic: Arc<Topic>,
}

impl RawTopic {
    pub(crate) fn new(topics: &Arc<Topics>, name: &str) -> Result<RawTopic, TopicError> {
        let topic = topics.for_handle(name)?;
        Ok(RawTopic { topics: topics.clone(), topic })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.topic.name
    }

    /// Keeps the last `most` messages in this process, and lets each later subscription begin with them.
    ///
    /// A process that starts takes them from a process that has them. They are lost when all processes that have them end.
    #[must_use]
    pub fn history(self, most: usize) -> RawTopic {
        self.topics.keep_history(&self.topic, most);
        self
    }

    /// Gives the message to all subscriptions, in this process and in others. It returns at once, from any thread.
    ///
    /// # Errors
    ///
    /// When the message is too large. A message that some peer misses is no error: [`Published`] tells.
    pub fn publish(&self, payload: Payload) -> Result<Published, PublishError> {
        self.check(&payload)?;
        Ok(self.topic.publish([payload], self.topics.members.without_bus()))
    }

    /// Gives several messages to all subscriptions, one after the other. It costs less than as many calls of
    /// [`publish`](RawTopic::publish). Says whether a subscribed peer misses one of them.
    ///
    /// # Errors
    ///
    /// When one of the messages is too large; then none is published.
    pub fn publish_all(&self, payloads: Vec<Payload>) -> Result<bool, PublishError> {
        payloads.iter().try_for_each(|payload| self.check(payload))?;
        Ok(self.topic.publish(payloads, self.topics.members.without_bus()).is_lagging())
    }

    fn check(&self, payload: &Payload) -> Result<(), PublishError> {
        let (length, most) = (payload.bytes.len(), self.max_message());
        if length > most { Err(PublishError::TooLarge { length, most }) } else { Ok(()) }
    }

    /// The largest message that may be published, in bytes.
    pub fn max_message(&self) -> usize {
        self.topics.limits.message_bytes
    }

    /// Waits until every subscribed peer has room for half of `peer_bytes`, so that a publisher can pause instead of making peers
    /// lag. A peer that has stopped makes it wait: set a deadline.
    pub async fn room(&self) {
        for link in self.topic.subscriber_links() {
            link.room().await;
        }
    }

    /// The number of the first message that this peer sends here. Events of the peer count from it: each message is one, and `Lagged` says
    /// how many.
    pub fn first_of(&self, peer: NodeId) -> Option<u64> {
        self.topic.lock().sources.get(&peer)?.start
    }

    /// The other processes that get what this one publishes, as far as it knows: those whose subscription has arrived here, until they
    /// end it or end themselves. A process that is gone stays here until all that it had sent has been read.
    pub fn subscribers(&self) -> Vec<NodeId> {
        self.topic.subscribers()
    }

    /// Resolves at the next change of [`RawTopic::subscribers`] after this call.
    pub fn subscribers_changed(&self) -> impl Future<Output = ()> + Send + 'static {
        let (topic, mut changed) = (self.topic.clone(), self.topic.subscribers_changed.subscribe());
        async move {
            // `topic` holds the sender.
            let _ = changed.changed().await;
            drop(topic);
        }
    }

    /// Subscribes. The subscription begins at once; awaiting it waits until every live peer has confirmed, and the history has
    /// come, or their timeouts have passed.
    pub fn subscribe(&self) -> Subscribing {
        Subscribing::new(self.topics.clone(), self.topic.clone())
    }
}

impl Clone for RawTopic {
    fn clone(&self) -> RawTopic {
        self.topic.lock().users += 1;
        RawTopic { topics: self.topics.clone(), topic: self.topic.clone() }
    }
}

impl Drop for RawTopic {
    fn drop(&mut self) {
        self.topics.release(&self.topic, None);
    }
}
