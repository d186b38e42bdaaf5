//! Topics and requests of a program's own types.

mod request;
mod topic;

pub use request::{TypedCall, TypedCallAll};
pub use topic::{Topic, TypedEvent, TypedSubscribing, TypedSubscription};
