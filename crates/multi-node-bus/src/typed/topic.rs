//! A topic of values.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;

use multi_node_fleet::id::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::{DecodeError, Encoding};
use crate::topic::{Event, PublishError, Published, RawTopic, Settled, Subscribing, Subscription};

/// A topic of values: MessagePack with named fields, or JSON.
#[derive(Debug)]
pub struct Topic<T> {
    raw: RawTopic,
    encoding: Encoding,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Topic<T> {
    /// The topic's values as MessagePack.
    pub fn new(raw: RawTopic) -> Topic<T> {
        Topic { raw, encoding: Encoding::default(), value: PhantomData }
    }

    /// Publishes JSON from here on. What arrives is read by its own content type.
    #[must_use]
    pub fn json(mut self) -> Topic<T> {
        self.encoding = Encoding::Json;
        self
    }

    /// As [`RawTopic::history`].
    #[must_use]
    pub fn history(mut self, most: usize) -> Topic<T> {
        self.raw = self.raw.history(most);
        self
    }

    /// As [`RawTopic::room`].
    pub async fn room(&self) {
        self.raw.room().await;
    }

    /// The topic of payloads below.
    pub fn raw(&self) -> &RawTopic {
        &self.raw
    }
}

impl<T: Serialize> Topic<T> {
    /// As [`RawTopic::publish`].
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded or is too large.
    pub fn publish(&self, value: &T) -> Result<Published, PublishError> {
        self.raw.publish(self.encoding.encode(value)?)
    }
}

impl<T: DeserializeOwned> Topic<T> {
    /// As [`RawTopic::subscribe`].
    pub fn subscribe(&self) -> TypedSubscribing<T> {
        TypedSubscribing(self.raw.subscribe(), PhantomData)
    }
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Topic<T> {
        Topic { raw: self.raw.clone(), encoding: self.encoding, value: PhantomData }
    }
}

/// As [`Subscribing`].
#[derive(Debug)]
#[must_use = "a subscription ends when it is dropped"]
pub struct TypedSubscribing<T>(Subscribing, PhantomData<fn() -> T>);

impl<T> TypedSubscribing<T> {
    /// The subscription, without waiting for the peers.
    pub fn now(self) -> TypedSubscription<T> {
        TypedSubscription(self.0.now(), PhantomData)
    }
}

impl<T: 'static> IntoFuture for TypedSubscribing<T> {
    type Output = TypedSubscription<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = TypedSubscription<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { TypedSubscription(self.0.await, PhantomData) })
    }
}

/// What a typed subscription yields.
#[derive(Debug)]
pub enum TypedEvent<T> {
    /// A value.
    Message {
        /// Who published it.
        from: NodeId,
        /// What was published.
        value: T,
    },
    /// Messages of this publisher are missing at this place.
    Lagged {
        /// Whose messages.
        from: NodeId,
        /// How many.
        missed: u64,
    },
    /// A message that is no value of this type.
    Undecodable {
        /// Who published it.
        from: NodeId,
        /// What is wrong with it.
        error: DecodeError,
    },
}

/// A subscription of values.
#[derive(Debug)]
pub struct TypedSubscription<T>(Subscription, PhantomData<fn() -> T>);

impl<T> TypedSubscription<T> {
    /// As [`Subscription::settled`].
    pub async fn settled(&self) -> Settled {
        self.0.settled().await
    }
}

impl<T: DeserializeOwned> TypedSubscription<T> {
    /// The next event. It is cancel safe.
    pub async fn recv(&mut self) -> TypedEvent<T> {
        decode(self.0.recv().await)
    }

    /// The next event, if there is one.
    pub fn try_recv(&mut self) -> Option<TypedEvent<T>> {
        self.0.try_recv().map(decode)
    }
}

fn decode<T: DeserializeOwned>(event: Event) -> TypedEvent<T> {
    match event {
        Event::Lagged { from, missed } => TypedEvent::Lagged { from, missed },
        Event::Message { from, payload } => match payload.decode() {
            Ok(value) => TypedEvent::Message { from, value },
            Err(error) => TypedEvent::Undecodable { from, error },
        },
    }
}
