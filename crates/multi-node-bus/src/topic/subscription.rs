//! A subscription as programs hold it.

use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::task::coop::poll_proceed;

use super::queue::Queue;
use super::state::Topic;
use super::{Event, Settled, Topics};

/// After how many events the task gives others a turn.
const EVENTS_PER_TURN: u8 = 64;

/// A subscription that has begun. Awaiting it waits until every live peer has confirmed and the history has come, or their
/// timeouts have passed: [`Subscription::settled`] tells.
#[derive(Debug)]
#[must_use = "a subscription ends when it is dropped"]
pub struct Subscribing(Subscription);

impl Subscribing {
    pub(super) fn new(topics: Arc<Topics>, topic: Arc<Topic>) -> Subscribing {
        let queue = topics.add_reader(&topic);
        Subscribing(Subscription { topics, topic, queue, turn: EVENTS_PER_TURN })
    }

    /// The subscription, without waiting for the peers.
    pub fn now(self) -> Subscription {
        self.0
    }
}

impl IntoFuture for Subscribing {
    type Output = Subscription;
    type IntoFuture = Pin<Box<dyn Future<Output = Subscription> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.0.settled().await;
            self.0
        })
    }
}

/// A subscription. It lasts until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    topics: Arc<Topics>,
    topic: Arc<Topic>,
    queue: Arc<Queue>,
    turn: u8,
}

impl Subscription {
    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.topic.name
    }

    /// Waits for the topic's start, and says which peers had not confirmed in time and what became of the history.
    pub async fn settled(&self) -> Settled {
        self.topic.until_settled().await
    }

    /// As [`Subscription::settled`], without a hold on the subscription.
    pub fn settling(&self) -> impl Future<Output = Settled> + Send + 'static {
        let topic = self.topic.clone();
        async move { topic.until_settled().await }
    }

    /// The next event. It is cancel safe.
    pub async fn recv(&mut self) -> Event {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next event, if there is one.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.queue.pop()
    }

    /// Waits for events and appends up to `most` of them. It is cancel safe, and returns how many.
    pub async fn recv_many(&mut self, into: &mut Vec<Event>, most: usize) -> usize {
        if most == 0 {
            return 0;
        }
        poll_fn(|context| {
            ready!(poll_proceed(context)).made_progress();
            self.queue.poll_ready(context)
        })
        .await;
        self.queue.pop_many(most, into)
    }

    /// As [`Subscription::recv`], for futures that are polled by hand.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if self.turn == 0 {
            ready!(poll_proceed(context)).made_progress();
            self.turn = EVENTS_PER_TURN;
        }
        let event = ready!(self.queue.poll_pop(context));
        self.turn -= 1;
        Poll::Ready(event)
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll_recv(context).map(Some)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topics.release(&self.topic, Some(&self.queue));
    }
}
