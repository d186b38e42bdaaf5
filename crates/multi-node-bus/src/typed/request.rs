//! Requests of values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Topic;
use crate::bus::Bus;
use crate::payload::{ContentType, EncodeError, Encoding, Payload};
use crate::request::{Call, CallAll, Request, RequestError, RespondError, Target};
use crate::topic::TopicError;

impl Bus {
    /// The topic of this name, whose messages are values.
    ///
    /// # Errors
    ///
    /// As [`Bus::topic`].
    pub fn typed_topic<T>(&self, name: &str) -> Result<Topic<T>, TopicError> {
        Ok(Topic::new(self.topic(name)?))
    }

    /// Answers requests of this name, whose contents are values. The answer is JSON if the request was, else MessagePack. A request
    /// that is no such value gets an error.
    ///
    /// # Errors
    ///
    /// As [`Bus::respond`].
    pub fn respond_typed<Q, A, E, F, R>(&self, name: &str, handler: F) -> Result<(), RespondError>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + 'static,
        E: Display + 'static,
        F: Fn(Q) -> R + Send + Sync + 'static,
        R: Future<Output = Result<A, E>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.respond(name, move |request| answer(handler.clone(), request))
    }

    /// A request whose content and answer are values, to any process unless it says otherwise.
    pub fn request_typed<A>(&self, name: &str, value: &impl Serialize) -> TypedCall<A> {
        let call = match Payload::message_pack(value) {
            Ok(payload) => Ok(self.request(name, payload)),
            Err(error) => Err(encode_error(&error)),
        };
        TypedCall { call, answer: PhantomData }
    }

    /// A request to every process that has the handler, whose content and answers are values.
    pub fn request_all_typed<A>(&self, name: &str, value: &impl Serialize) -> Result<TypedCallAll<A>, EncodeError> {
        let call = self.request_all(name, Payload::message_pack(value)?);
        Ok(TypedCallAll { call, answer: PhantomData })
    }
}

async fn answer<Q, A, E, F, R>(handler: Arc<F>, request: Request) -> Result<Payload, String>
where
    Q: DeserializeOwned,
    A: Serialize,
    E: Display,
    F: Fn(Q) -> R,
    R: Future<Output = Result<A, E>>,
{
    let encoding = if request.payload.content == ContentType::Json { Encoding::Json } else { Encoding::MessagePack };
    let value = request.payload.decode().map_err(|error| with_cause("cannot decode the request", &error))?;
    drop(request);
    let value = handler(value).await.map_err(|error| error.to_string())?;
    encoding.encode(&value).map_err(|error| with_cause("cannot encode the answer", &error))
}

fn with_cause(what: &str, error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{what}: {error}{cause}")
}

fn encode_error(error: &EncodeError) -> RequestError {
    RequestError::Encode(error.to_string())
}

/// As [`Call`], with a value as its answer.
#[derive(Clone, Debug)]
#[must_use = "a request is sent when it is awaited"]
pub struct TypedCall<A> {
    call: Result<Call, RequestError>,
    answer: PhantomData<fn() -> A>,
}

impl<A> TypedCall<A> {
    /// As [`Call::to`].
    pub fn to(self, target: impl Into<Target>) -> TypedCall<A> {
        TypedCall { call: self.call.map(|call| call.to(target)), answer: PhantomData }
    }

    /// As [`Call::timeout`].
    pub fn timeout(self, timeout: Duration) -> TypedCall<A> {
        TypedCall { call: self.call.map(|call| call.timeout(timeout)), answer: PhantomData }
    }
}

impl<A: DeserializeOwned + 'static> IntoFuture for TypedCall<A> {
    type Output = Result<A, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { decode(&self.call?.await?) })
    }
}

/// As [`CallAll`], with values as its answers.
#[derive(Clone, Debug)]
#[must_use = "a request is sent when it is awaited"]
pub struct TypedCallAll<A> {
    call: CallAll,
    answer: PhantomData<fn() -> A>,
}

impl<A> TypedCallAll<A> {
    /// As [`CallAll::timeout`].
    pub fn timeout(self, timeout: Duration) -> TypedCallAll<A> {
        TypedCallAll { call: self.call.timeout(timeout), answer: PhantomData }
    }
}

impl<A: DeserializeOwned + 'static> IntoFuture for TypedCallAll<A> {
    type Output = BTreeMap<NodeId, Result<A, RequestError>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answers = self.call.await.into_iter();
            answers.map(|(id, result)| (id, result.and_then(|payload| decode(&payload)))).collect()
        })
    }
}

fn decode<A: DeserializeOwned>(payload: &Payload) -> Result<A, RequestError> {
    payload.decode().map_err(|error| RequestError::Decode(with_cause("the answer", &error)))
}
