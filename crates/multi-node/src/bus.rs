//! Messages between the processes of a program: what [`Handle::topic`](crate::Handle::topic), [`Handle::request`](crate::Handle::request) and
//! their kin give and take. docs/messages.md has the bounds and guarantees.
//!
//! ```no_run
//! use multi_node::{BoxError, Handle};
//!
//! // Every process answers for itself: how many bytes its cache has.
//! async fn total(node: Handle) -> Result<u64, BoxError> {
//!     node.respond("cache size", async |()| Ok::<u64, BoxError>(4096))?;
//!     let sizes = node.request_all::<u64>("cache size", &())?.await;
//!     Ok(sizes.into_iter().filter_map(|(_, size)| size.ok()).sum())
//! }
//! ```

/// Values of a type, to every process that has subscribed to the same name.
///
/// ```no_run
/// use multi_node::Handle;
/// use multi_node::bus::{TopicError, TypedEvent};
///
/// async fn chat(node: Handle) -> Result<(), TopicError> {
///     let topic = node.topic::<String>("chat")?.history(50);
///     let mut messages = topic.subscribe().await;
///     loop {
///         match messages.recv().await {
///             TypedEvent::Message { from, value } => println!("{from}: {value}"),
///             TypedEvent::Lagged { from, missed } => println!("{missed} messages of {from} are missing"),
///             _ => return Ok(()),
///         }
///     }
/// }
/// ```
#[doc(inline)]
pub use multi_node_bus::Topic;
#[doc(inline)]
pub use multi_node_bus::{
    BusCounts, Call, CallAll, ContentType, DecodeError, EncodeError, Encoding, Event, Payload, PublishError, Published,
    RawTopic, RemoteProcess, Request, RequestError, RespondError, Subscribing, Subscription, Target, TopicError,
    TypedCall, TypedCallAll, TypedEvent, TypedSubscribing, TypedSubscription,
};
