//! A request as programs make it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::{NodeId, Slot};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use super::flight::{Sending, Sent};
use super::{RequestError, Requests};
use crate::payload::Payload;
use crate::remote::RemoteProcess;

/// Which process answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The process with the fewest requests of this one in flight, of those that have the handler and don't drain. Where no process of
    /// this machine does, one of another machine that is joined.
    #[default]
    Any,
    /// This process. It may be of another machine, once a message or a request of it has come.
    Id(NodeId),
    /// The process in this slot: during a reload the newer one.
    Slot(Slot),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Any => f.write_str("any process"),
            Target::Id(id) => id.fmt(f),
            Target::Slot(slot) => write!(f, "slot {slot}"),
        }
    }
}

impl From<NodeId> for Target {
    fn from(id: NodeId) -> Target {
        Target::Id(id)
    }
}

impl From<Slot> for Target {
    fn from(slot: Slot) -> Target {
        Target::Slot(slot)
    }
}

/// A request, which is sent when it is awaited. Dropping its future cancels it. It is sent at most once.
#[derive(Clone, Debug)]
#[must_use = "a request is sent when it is awaited"]
pub struct Call {
    requests: Arc<Requests>,
    name: String,
    payload: Payload,
    target: Target,
    timeout: Duration,
    /// The process of another machine for which the gateway asks.
    by: Option<RemoteProcess>,
}

impl Call {
    pub(crate) fn new(requests: &Arc<Requests>, name: &str, payload: Payload) -> Call {
        let timeout = requests.limits.request_timeout;
        Call { requests: requests.clone(), name: name.to_owned(), payload, target: Target::Any, timeout, by: None }
    }

    /// Asks for a process of another machine.
    pub(crate) fn by(mut self, process: RemoteProcess) -> Call {
        self.by = Some(process);
        self
    }

    /// Which process answers, any by default.
    pub fn to(mut self, target: impl Into<Target>) -> Call {
        self.target = target.into();
        self
    }

    /// How long the answer may take, links that have to be made included. 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Call {
        self.timeout = timeout;
        self
    }

    async fn run(self) -> Result<Payload, RequestError> {
        let length = self.payload.bytes.len();
        if length > self.requests.limits.message_bytes {
            return Err(RequestError::TooLarge { length });
        }
        // A loop of requests that fail at once gives others a turn.
        consume_budget().await;
        let deadline = Instant::now() + self.timeout.min(Duration::from_secs(1 << 30));
        let Call { requests: _, name, payload, target, timeout, by } = &self;
        let sending = Sending { name, payload, target: *target, timeout: *timeout, deadline, by: by.as_ref() };
        let in_flight = match self.requests.send(&sending)? {
            Sent::InFlight(in_flight) => in_flight,
            Sent::NotYet => timeout_at(deadline, self.until_sent(&sending)).await.unwrap_or_else(|_| {
                self.requests.counts.requests_timed_out.one();
                Err(RequestError::TimedOut(self.timeout))
            })?,
        };
        in_flight.answer(sending.name, sending.timeout).await
    }

    async fn until_sent(&self, sending: &Sending<'_>) -> Result<super::flight::InFlight, RequestError> {
        let (mut members, mut handlers) = (self.requests.members.watch(), self.requests.changed.subscribe());
        loop {
            if let Sent::InFlight(in_flight) = self.requests.send(sending)? {
                return Ok(in_flight);
            }
            tokio::select! {
                _ = members.changed() => {}
                _ = handlers.changed() => {}
            }
        }
    }
}

impl IntoFuture for Call {
    type Output = Result<Payload, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A request to every process that has the handler, this one included. It is sent when it is awaited.
#[derive(Clone, Debug)]
#[must_use = "a request is sent when it is awaited"]
pub struct CallAll(Call);

impl CallAll {
    pub(crate) fn new(call: Call) -> CallAll {
        CallAll(call)
    }

    /// How long the answers may take. 5 s by default.
    pub fn timeout(self, timeout: Duration) -> CallAll {
        CallAll(self.0.timeout(timeout))
    }

    async fn run(self) -> BTreeMap<NodeId, Result<Payload, RequestError>> {
        let requests = &self.0.requests;
        let ids = requests.members.speaking().into_iter().chain([requests.me]);
        let mut calls = JoinSet::new();
        for id in ids {
            let call = self.0.clone().to(id);
            calls.spawn(async move { (id, call.run().await) });
        }
        let answers = calls.join_all().await;
        let has_handler = |result: &Result<_, _>| !matches!(result, Err(RequestError::NoHandler { .. }));
        answers.into_iter().filter(|(_, result)| has_handler(result)).collect()
    }
}

impl IntoFuture for CallAll {
    /// The answer of each process that has the handler, or why it has none.
    type Output = BTreeMap<NodeId, Result<Payload, RequestError>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
