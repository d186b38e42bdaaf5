//! A handler, and how it is run: a panic is an answer.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use multi_node_fleet::id::NodeId;
use tokio::time::Instant;

use super::error::Failure;
use crate::payload::Payload;
use crate::remote::RemoteProcess;

/// A request as its handler gets it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks. It may be this process.
    pub from: NodeId,
    /// What is asked.
    pub payload: Payload,
    /// When the answer is of no use any longer. The handler's future is dropped then.
    pub deadline: Instant,
}

pub(crate) type Responded = Pin<Box<dyn Future<Output = Result<Payload, Failure>> + Send>>;

/// A handler of this process.
#[derive(Clone)]
pub(crate) struct Handler(Arc<dyn Fn(Request) -> Responded + Send + Sync>);

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handler")
    }
}

impl Handler {
    pub(crate) fn new<F, R, E>(handler: F) -> Handler
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Payload, E>> + Send + 'static,
        E: Display,
    {
        let handler = Arc::new(handler);
        Handler(Arc::new(move |request| {
            let handler = handler.clone();
            // The handler is called when the future is polled, where a panic of the call is caught too.
            Box::pin(async move { handler(request).await.map_err(|error| Failure::Failed(error.to_string())) })
        }))
    }

    /// What asks other machines for this handler, or this process.
    pub(super) fn elsewhere(asks: &AsksElsewhere, name: &str, to: Option<RemoteProcess>) -> Handler {
        let (asks, name) = (asks.clone(), name.to_owned());
        Handler(Arc::new(move |request| {
            let Request { from, payload, deadline } = request;
            (asks.0)(Elsewhere { from, name: name.clone(), to: to.clone(), payload, deadline })
        }))
    }

    pub(super) async fn run(self, request: Request) -> Result<Payload, Failure> {
        match CatchPanic((self.0)(request)).await {
            Ok(result) => result,
            Err(Panicked) => Err(Failure::Panicked),
        }
    }
}

/// A request that no process of this machine answers, as the gateway gets it.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// Which process of this machine asks.
    pub from: NodeId,
    /// The handler's name.
    pub name: String,
    /// Which process is asked; `None`: any that has the handler.
    pub to: Option<RemoteProcess>,
    /// What is asked.
    pub payload: Payload,
    /// When the answer is of no use any longer. The future is dropped then.
    pub deadline: Instant,
}

/// How a gateway asks other machines.
#[derive(Clone)]
pub(crate) struct AsksElsewhere(Arc<dyn Fn(Elsewhere) -> Responded + Send + Sync>);

impl AsksElsewhere {
    pub(crate) fn new<F, R>(asks: F) -> AsksElsewhere
    where
        F: Fn(Elsewhere) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Payload, Failure>> + Send + 'static,
    {
        AsksElsewhere(Arc::new(move |elsewhere| Box::pin(asks(elsewhere))))
    }
}

impl std::fmt::Debug for AsksElsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AsksElsewhere")
    }
}

struct Panicked;

struct CatchPanic(Responded);

impl Future for CatchPanic {
    type Output = Result<Result<Payload, Failure>, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is not polled again after a panic.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}
