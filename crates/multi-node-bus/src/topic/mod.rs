//! Topics: every process that has subscribed gets what any process publishes, in each publisher's order, or learns how
//! many it missed.
//!
//! Locks are taken in this order, and none is held across an await: table, topic, then one outbox or one queue.

mod event;
mod handle;
mod history;
mod interest;
mod publish;
mod queue;
mod receive;
mod remote;
mod sequences;
mod settle;
mod snapshot;
mod state;
mod subscription;
mod table;

pub use event::{Event, History, PublishError, Published, Settled, TopicError};
pub use handle::RawTopic;
pub(crate) use queue::Queue;
pub(crate) use receive::Arrived;
pub use sequences::{Came, Sequences};
pub(crate) use snapshot::Answer;
pub(crate) use state::Topic;
pub use subscription::{Subscribing, Subscription};
pub(crate) use table::Topics;
