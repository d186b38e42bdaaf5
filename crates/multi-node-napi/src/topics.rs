//! Topics for JavaScript, which takes what has come in batches.

#![expect(clippy::needless_pass_by_value, reason = "Node-API makes owned values")]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use multi_node::bus::{Event, RawTopic, Subscription};
use multi_node::status::NodeId;
use napi::bindgen_prelude::Function;
use napi_derive::napi;

use crate::batch::{Batch, Content, Writer, copied, payload};
use crate::failure::Failure;
use crate::service::Service;
use crate::wake;

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

#[napi]
impl Service {
    /// The topic of this name; with a history, where it is above 0.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn topic(&self, name: String, history: u32) -> napi::Result<TopicHandle> {
        let topic = self.handle.raw_topic(&name).map_err(|error| Failure::topic(error.to_string()).into_error())?;
        Ok(TopicHandle(Some(if history == 0 { topic } else { topic.history(history as usize) })))
    }
}

/// A topic, until it is closed.
#[napi]
pub struct TopicHandle(Option<RawTopic>);

#[napi]
impl TopicHandle {
    /// `false`: a subscribed peer misses the message.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn publish(&self, content: Content) -> napi::Result<bool> {
        let Some(topic) = &self.0 else { return Ok(true) };
        let published = topic.publish(payload(content)).map_err(|error| Failure::from(&error).into_error())?;
        Ok(!published.is_lagging())
    }

    /// Publishes messages that lie one behind the other in `bytes`. `heads` has two numbers for each: the kind of its content, and its
    /// length. `false`: a subscribed peer misses one of them.
    ///
    /// # Errors
    /// A failure, in the error's message.
    #[napi]
    pub fn publish_many(&self, mut bytes: &[u8], heads: &[u32]) -> napi::Result<bool> {
        let Some(topic) = &self.0 else { return Ok(true) };
        let payloads = heads.chunks_exact(2).map_while(|head| {
            let (content, rest) = bytes.split_at_checked(head[1] as usize)?;
            bytes = rest;
            Some(copied(head[0], content))
        });
        let lagging = topic.publish_all(payloads.collect());
        lagging.map(|lagging| !lagging).map_err(|error| Failure::from(&error).into_error())
    }

    /// The largest message that may be published, in bytes.
    #[napi]
    pub fn max_message(&self) -> u32 {
        self.0.as_ref().map_or(0, |topic| topic.max_message().try_into().unwrap_or(u32::MAX))
    }

    /// Waits until every subscribed peer has room. `turn` is called, on this thread, when `poll` may say so.
    ///
    /// # Errors
    /// Where the environment ends.
    #[napi]
    pub fn room(&self, turn: Function<'_, (), ()>) -> napi::Result<Room> {
        let Some(topic) = self.0.clone() else { return Ok(Room(None)) };
        let waker = wake::waker(&turn)?;
        Ok(Room(Some((Box::pin(async move { topic.room().await }), waker))))
    }

    /// Subscribes. `turn` is called, on this thread, when there may be something to take, and `take` had nothing more.
    ///
    /// # Errors
    /// Where the environment ends.
    #[napi]
    pub fn subscribe(&self, turn: Function<'_, (), ()>) -> napi::Result<TopicFeed> {
        let waker = wake::waker(&turn)?;
        Ok(TopicFeed(self.0.as_ref().map(|topic| {
            let subscription = topic.subscribe().now();
            let settling = subscription.settling();
            let settling = async move { settling.await.unconfirmed };
            let (topic, changing) = (topic.clone(), Box::pin(async {}));
            Feed { topic, subscription, settling: Some(Box::pin(settling)), changing, waker }
        })))
    }

    /// The other processes that get what is published.
    #[napi]
    pub fn subscribers(&self) -> Vec<String> {
        self.0.as_ref().map(|topic| names(&topic.subscribers())).unwrap_or_default()
    }

    #[napi]
    pub fn close(&mut self) {
        self.0 = None;
    }
}

/// A wait for room, until there is some. `turn` has `Room`, which has the waker, which has `turn`: the end of the wait frees them.
#[napi]
pub struct Room(Option<(Wait, Waker)>);

#[napi]
impl Room {
    /// Whether there is room.
    #[napi]
    pub fn poll(&mut self) -> bool {
        let Some((room, waker)) = &mut self.0 else { return true };
        let is_there = room.as_mut().poll(&mut Context::from_waker(waker)).is_ready();
        if is_there {
            self.0 = None;
        }
        is_there
    }
}

/// A subscription, until it is closed.
#[napi]
pub struct TopicFeed(Option<Feed>);

struct Feed {
    topic: RawTopic,
    subscription: Subscription,
    /// Until it is known who has not confirmed.
    settling: Option<Pin<Box<dyn Future<Output = Vec<NodeId>> + Send>>>,
    /// Until other processes subscribe, or do so no longer.
    changing: Wait,
    waker: Waker,
}

#[napi]
impl TopicFeed {
    /// What has come. A message is who sent it and its content.
    #[napi]
    pub fn take(&mut self) -> Option<Batch> {
        self.0.as_mut().map(Feed::take)
    }

    #[napi]
    pub fn close(&mut self) {
        self.0 = None;
    }
}

impl Feed {
    fn take(&mut self) -> Batch {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        // First, since what is asked for afterwards is then in the batch.
        let unconfirmed = self.poll_settling(&mut context);
        let subscribers = self.poll_subscribers(&mut context);
        let batch = Batch::gather(|writer| {
            let Poll::Ready(event) = self.subscription.poll_recv(&mut context) else { return false };
            write(writer, &event);
            true
        });
        Batch { unconfirmed, subscribers, ..batch }
    }

    fn poll_settling(&mut self, context: &mut Context<'_>) -> Option<Vec<String>> {
        let Poll::Ready(peers) = self.settling.as_mut()?.as_mut().poll(context) else { return None };
        self.settling = None;
        Some(names(&peers))
    }

    /// The subscribers, at first and after each change.
    fn poll_subscribers(&mut self, context: &mut Context<'_>) -> Option<Vec<String>> {
        let mut subscribers = None;
        while self.changing.as_mut().poll(context).is_ready() {
            self.changing = Box::pin(self.topic.subscribers_changed());
            subscribers = Some(names(&self.topic.subscribers()));
        }
        subscribers
    }
}

fn names(ids: &[NodeId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn write(writer: &mut Writer, event: &Event) {
    writer.sender(event.from());
    match event {
        Event::Message { payload, .. } => writer.content(payload),
        Event::Lagged { missed, .. } => writer.missed(*missed),
    }
}
