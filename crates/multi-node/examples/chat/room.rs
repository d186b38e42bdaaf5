//! The conversation: a topic that keeps the recent messages in every process, and how many visitors there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use multi_node::Handle;
use multi_node::bus::{Topic, TypedEvent, TypedSubscription};
use serde::{Deserialize, Serialize};

/// How many messages each process keeps, for visitors and nodes that come.
pub(crate) const RECENT: usize = 50;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message of a visitor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Chosen by the page, which sends a message again when it does not know whether it arrived.
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) node: String,
    pub(crate) slot: Option<usize>,
    pub(crate) text: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
}

/// This process's part of the room.
#[derive(Clone)]
pub(crate) struct Room {
    node: Handle,
    topic: Topic<Message>,
    here: Arc<AtomicUsize>,
}

/// Counts as a visitor until it is dropped.
pub(crate) struct Visit(Arc<AtomicUsize>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Room {
    pub(crate) fn open(node: Handle) -> Result<Room, BoxError> {
        let (topic, here) = (node.topic("chat")?.history(RECENT), Arc::new(AtomicUsize::new(0)));
        let counted = here.clone();
        node.respond("visitors", move |()| std::future::ready(Ok::<_, String>(counted.load(Relaxed))))?;
        Ok(Room { node, topic, here })
    }

    /// Sends it to all visitors, here and in the other processes.
    pub(crate) fn say(&self, message: &Message) {
        // It is an error only for a message that is too large, which visitors cannot send.
        let _ = self.topic.publish(message);
    }

    /// The recent messages, and those that come from now on.
    pub(crate) fn listen(&self) -> (Vec<Message>, TypedSubscription<Message>) {
        let mut messages = self.topic.subscribe().now();
        let recent = std::iter::from_fn(|| messages.try_recv()).filter_map(|event| match event {
            TypedEvent::Message { value, .. } => Some(value),
            TypedEvent::Lagged { .. } | TypedEvent::Undecodable { .. } => None,
        });
        (recent.collect(), messages)
    }

    pub(crate) fn enter(&self) -> Visit {
        self.here.fetch_add(1, Relaxed);
        Visit(self.here.clone())
    }

    /// How many visitors all processes have together.
    pub(crate) async fn visitors(&self) -> usize {
        let Ok(asked) = self.node.request_all("visitors", &()) else { return 0 };
        asked
            .timeout(Duration::from_millis(500))
            .await
            .into_values()
            .map(|count: Result<usize, _>| count.unwrap_or(0))
            .sum()
    }
}
