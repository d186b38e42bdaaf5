//! Messages between the processes of a program: topics and requests.

use std::fmt::Display;

use multi_node_bus::{
    BusCounts, Call, CallAll, EncodeError, History, Payload, RawTopic, RemoteProcess, Request, RespondError, Topic,
    TopicError, TypedCall, TypedCallAll,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Handle;
use crate::id::NodeId;
use crate::metrics::Metric;

impl Handle {
    /// The topic of this name, whose messages are values of one type. Every process of the program may publish and subscribe, the
    /// master and draining nodes too; processes of the Node.js package take part in the same topics.
    ///
    /// A message reaches each subscription at most once, in the order of its publisher. What a subscription misses arrives as
    /// [`TypedEvent::Lagged`](crate::bus::TypedEvent::Lagged), never silently. A topic that a factory subscribes to, or keeps the
    /// [history](Topic::history) of, holds the node's readiness until the others have confirmed it and the history has come, for
    /// 2 s each at most.
    ///
    /// ```no_run
    /// # use multi_node::{Handle, bus::TypedEvent};
    /// # async fn of(node: Handle) -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = node.topic::<String>("chat")?.history(50);
    /// let mut messages = chat.subscribe().await;
    /// chat.publish(&"hello".to_owned())?;
    /// loop {
    ///     match messages.recv().await {
    ///         TypedEvent::Message { from, value } => println!("{from}: {value}"),
    ///         TypedEvent::Lagged { from, missed } => println!("missed {missed} messages of {from}"),
    ///         TypedEvent::Undecodable { from, error } => println!("not understood from {from}: {error}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Where the name is empty or longer than 255 bytes, or this process has too many topics.
    pub fn topic<T>(&self, name: &str) -> Result<Topic<T>, TopicError> {
        self.0.bus.typed_topic(name)
    }

    /// The topic of this name, whose messages are bytes with a content type.
    ///
    /// # Errors
    /// As of [`topic`](Handle::topic).
    pub fn raw_topic(&self, name: &str) -> Result<RawTopic, TopicError> {
        self.0.bus.topic(name)
    }

    /// Who has published a message, if that was a process of another machine: [`Options::join`](crate::Options::join). Of messages of a
    /// topic's history it may be unknown.
    ///
    /// ```
    /// # use multi_node::{Handle, status::NodeId};
    /// fn sender(node: &Handle, from: NodeId) -> String {
    ///     // `alpha/2#9c41d2e0.7`: the machine, the slot, and a number that is never used again
    ///     node.remote(from).map_or_else(|| from.to_string(), |process| process.to_string())
    /// }
    /// # let _ = sender;
    /// ```
    pub fn remote(&self, from: NodeId) -> Option<RemoteProcess> {
        self.0.bus.remote(from)
    }

    #[cfg(all(multi_process, feature = "join"))]
    pub(crate) fn bus(&self) -> &multi_node_bus::Bus {
        &self.0.bus
    }

    /// Answers [requests](Handle::request) of this name. A handler that panics gives an error to who asked; it ends no process.
    ///
    /// ```no_run
    /// # use multi_node::Handle;
    /// # async fn of(node: Handle) -> Result<(), Box<dyn std::error::Error>> {
    /// node.respond("square", async |number: u64| number.checked_mul(number).ok_or("too large"))?;
    /// let squared: u64 = node.request("square", &12_u64).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Where the name is empty, too long or has a handler, or this process has too many handlers.
    pub fn respond<Q, A, E, F, R>(&self, name: &str, handler: F) -> Result<(), RespondError>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + 'static,
        E: Display + 'static,
        F: Fn(Q) -> R + Send + Sync + 'static,
        R: Future<Output = Result<A, E>> + Send + 'static,
    {
        self.0.bus.respond_typed(name, handler)
    }

    /// Answers requests of this name whose content is bytes with a content type.
    ///
    /// # Errors
    /// As of [`respond`](Handle::respond).
    pub fn respond_raw<E, F, R>(&self, name: &str, handler: F) -> Result<(), RespondError>
    where
        E: Display,
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Payload, E>> + Send + 'static,
    {
        self.0.bus.respond(name, handler)
    }

    /// Answers requests of this name no longer; those that run go on. `false`: there was no handler.
    pub fn stop_responding(&self, name: &str) -> bool {
        self.0.bus.stop_responding(name)
    }

    /// Asks a process of the program, and resolves with its answer: any that has the handler and the fewest requests of ours under
    /// way, unless [`to`](TypedCall::to) names one by its [`NodeId`](crate::status::NodeId) or slot. Draining nodes get no requests to any.
    ///
    /// A deadline always holds, 5 s or [`timeout`](TypedCall::timeout). Nothing is asked twice. Dropping the future cancels the request.
    pub fn request<A>(&self, name: &str, value: &impl Serialize) -> TypedCall<A> {
        self.0.bus.request_typed(name, value)
    }

    /// As [`request`](Handle::request), with bytes and a content type.
    pub fn raw_request(&self, name: &str, payload: Payload) -> Call {
        self.0.bus.request(name, payload)
    }

    /// Asks every process that has the handler, and resolves with the answer or the error of each.
    ///
    /// # Errors
    /// Where the value cannot be encoded.
    pub fn request_all<A>(&self, name: &str, value: &impl Serialize) -> Result<TypedCallAll<A>, EncodeError> {
        self.0.bus.request_all_typed(name, value)
    }

    /// What this process's part in topics and requests has done, and what its bounds have dropped.
    pub fn bus_counts(&self) -> BusCounts {
        self.0.bus.counts()
    }

    /// As [`request_all`](Handle::request_all), with bytes and a content type.
    pub fn raw_request_all(&self, name: &str, payload: Payload) -> CallAll {
        self.0.bus.request_all(name, payload)
    }

    /// Waits until what the factories subscribed to is confirmed, and logs what is missing.
    #[cfg(multi_process)]
    pub(crate) async fn settled(&self) {
        for (topic, settled) in self.0.bus.settled().await {
            if !settled.unconfirmed.is_empty() {
                let peers: Vec<String> = settled.unconfirmed.iter().map(ToString::to_string).collect();
                crate::log::warn!(
                    topic,
                    peers = peers.join(", "),
                    "ready before all peers have confirmed a subscription"
                );
            }
            if settled.history == Some(History::TimedOut) {
                crate::log::warn!(topic, "ready without the history of a topic: no process sent it in time");
            }
        }
    }
}

/// The counts as metrics; none where the bus was never used.
pub(crate) fn bus_metrics(counts: BusCounts) -> Vec<Metric> {
    if counts == BusCounts::default() {
        return Vec::new();
    }
    let metric = |(name, help, value): (&str, &str, u64)| match name {
        "links" | "requests_waiting" | "requests_running" | "streams" => {
            Metric::gauge(format!("multi_node_bus_{name}"), value as f64).help(help.trim_start())
        }
        _ => Metric::counter(format!("multi_node_bus_{name}_total"), value as f64).help(help.trim_start()),
    };
    counts.each().map(metric).collect()
}
