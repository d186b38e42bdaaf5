//! What subscribers get, and what publishing says.

use multi_node_fleet::id::NodeId;
use thiserror::Error;

use crate::payload::Payload;

/// What a subscription yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message.
    Message {
        /// Who published it.
        from: NodeId,
        /// What was published.
        payload: Payload,
    },
    /// Messages of this publisher are missing at this place.
    Lagged {
        /// Whose messages.
        from: NodeId,
        /// How many.
        missed: u64,
    },
}

impl Event {
    /// The publisher.
    pub fn from(&self) -> NodeId {
        match self {
            Event::Message { from, .. } | Event::Lagged { from, .. } => *from,
        }
    }
}

/// What became of a message. Subscribers that missed it get `Lagged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number among those that this process published on the topic, counted from 1.
    pub seq: u64,
    /// How many peers it was queued for.
    pub sent: usize,
    /// How many subscribed peers missed it: too many bytes wait for them, or their link is broken.
    pub missed: usize,
    /// How many processes don't take part in the bus, because their program is too old for it.
    pub without_bus: usize,
}

impl Published {
    /// Whether a subscribed peer missed it.
    pub fn is_lagging(&self) -> bool {
        self.missed > 0
    }
}

/// A message that was not published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// It is too large.
    #[error(
        "the message has {length} bytes, but at most {most} are allowed: raise `Options::max_message`, or send less"
    )]
    TooLarge {
        /// Its length.
        length: usize,
        /// The option.
        most: usize,
    },
    /// The value cannot be encoded.
    #[error(transparent)]
    Encode(#[from] crate::payload::EncodeError),
}

/// A topic that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// Its name is too long, or empty.
    #[error("a topic's name has 1 to 255 bytes, this one has {0}")]
    Name(usize),
    /// This process names too many.
    #[error("this process has {0} topics, as many as are allowed: drop those that are not used")]
    TooMany(usize),
}

/// How the start of a topic ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Peers that had not confirmed the subscription in time. They are asked as soon as they can be reached.
    pub unconfirmed: Vec<NodeId>,
    /// What became of the history, if one was asked for.
    pub history: Option<History>,
}

/// What became of a topic's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// It came from this process, or these processes if all were just starting.
    From(Vec<NodeId>),
    /// No process has it yet.
    Nobody,
    /// It did not come in time. The topic goes on without it.
    TimedOut,
}
