//! What each frame of a peer does.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use multi_node_fleet::id::NodeId;
use tokio::sync::Semaphore;

use super::connection::Parts;
use crate::frame::{
    Frame, FrameError, HEADER, Head, Hello, Kind, MOST_BESIDE_PAYLOAD, Needs, Truncated, decode, decode_failure,
    decode_item, decode_needs, decode_remote, decode_request,
};
use crate::link::{Inbound, LinkError, Outbox, Relief};
use crate::name::is_name;
use crate::payload::{ContentType, Payload};
use crate::request::Asked;
use crate::topic::{Answer, Arrived, Queue, Topic};

/// How many questions for a history one peer may ask at a time.
const QUESTIONS: usize = 64;

/// The frames of one link.
pub(super) struct Frames {
    parts: Arc<Parts>,
    link: Arc<Outbox>,
    opened: bool,
    /// By the peer's numbers: topics of which it sends messages to this process.
    publishes: HashMap<u32, Arc<Topic>>,
    /// By the peer's numbers: topics to which it has subscribed.
    subscribes: HashMap<u32, Arc<Topic>>,
    run: Run,
    crowded: Option<Arc<Queue>>,
    questions: Arc<Semaphore>,
}

/// Messages of one topic that follow each other, which are delivered together.
#[derive(Debug, Default)]
struct Run {
    channel: u32,
    messages: Vec<RunMessage>,
    /// Where its frames stand in the bytes that were read.
    frames: Range<usize>,
}

#[derive(Debug)]
struct RunMessage {
    seq: u64,
    content: ContentType,
    payload: Range<usize>,
}

impl Inbound for Frames {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, LinkError> {
        let mut taken = 0;
        while let Some(frame) = decode(&bytes[taken..], self.most())? {
            let start = taken;
            taken += frame.length();
            let is_message = self.opened && frame.head.kind == Kind::Message as u8;
            if !is_message || self.run.channel != frame.head.channel {
                self.deliver(bytes);
            }
            if is_message {
                self.run.add(&frame, start);
            } else {
                self.frame(&frame)?;
            }
        }
        self.deliver(bytes);
        Ok(taken)
    }

    fn needed(&self, start: &[u8]) -> usize {
        match start.first_chunk::<4>() {
            // Larger ones have been refused.
            Some(length) => HEADER + (u32::from_le_bytes(*length) as usize).min(self.most()),
            None => HEADER,
        }
    }

    fn relief(&mut self) -> Option<Relief> {
        let queue = self.crowded.take()?;
        Some(Box::pin(async move { queue.relieved().await }))
    }
}

impl Frames {
    pub(super) fn new(parts: Arc<Parts>, link: Arc<Outbox>) -> Frames {
        let (publishes, subscribes, run) = (HashMap::new(), HashMap::new(), Run::default());
        Frames {
            parts,
            link,
            opened: false,
            publishes,
            subscribes,
            run,
            crowded: None,
            questions: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    fn most(&self) -> usize {
        self.parts.limits.message_bytes.saturating_add(MOST_BESIDE_PAYLOAD)
    }

    /// Delivers the messages of one topic. They share one copy of their bytes, so that a message that is kept keeps little else.
    fn deliver(&mut self, bytes: &[u8]) {
        let Run { channel, messages, frames } = &mut self.run;
        if messages.is_empty() {
            return;
        }
        let Some(topic) = self.publishes.get(channel) else {
            // They were on their way when this process unsubscribed.
            messages.clear();
            return;
        };
        let shared = Bytes::copy_from_slice(&bytes[frames.clone()]);
        let start = frames.start;
        let arrived = |message: RunMessage| {
            let bytes = shared.slice(message.payload.start - start..message.payload.end - start);
            Arrived { seq: message.seq, payload: Payload { content: message.content, bytes } }
        };
        let crowded = topic.deliver(&self.link, messages.drain(..).map(arrived));
        self.crowded = Queue::most_patient(crowded, self.crowded.take());
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), LinkError> {
        let Some(kind) = Kind::known(frame.head.kind) else {
            self.parts.counts.unknown_kinds.one();
            return Ok(());
        };
        match (kind, self.opened) {
            (Kind::Hello, false) => self.hello(frame.body),
            (Kind::Hello, true) | (_, false) => Err(FrameError::OutOfTurn { kind: kind as u8 }.into()),
            (_, true) => self.known(kind, frame).map_err(|error| error.frame_error(kind).into()),
        }
    }

    fn hello(&mut self, body: &[u8]) -> Result<(), LinkError> {
        let Frames { parts, link, .. } = self;
        let hello = Hello::accept(body, link.peer)?;
        link.set_most_payload(hello.most as usize);
        if parts.members.began_anew(link.peer, hello.incarnation) {
            parts.topics.began_anew(link.peer);
        }
        if !parts.members.opened(link) {
            return Err(LinkError::Cut);
        }
        parts.topics.opened(link);
        parts.requests.opened(link);
        link.control(Head::new(Kind::Synced), &[]);
        self.opened = true;
        Ok(())
    }

    fn known(&mut self, kind: Kind, frame: &Frame<'_>) -> Result<(), Refused> {
        let Frame { head, body } = frame;
        let Frames { parts, link, .. } = self;
        match kind {
            Kind::Hello | Kind::Message => {}
            Kind::Synced => {
                parts.topics.synced(link.peer);
                parts.requests.synced(link);
            }
            Kind::Subscribe => self.subscribe(head, body)?,
            Kind::Unsubscribe => {
                if let Some(topic) = self.subscribes.remove(&head.channel) {
                    parts.topics.remove_subscriber(&topic, link);
                }
            }
            Kind::Confirmed => self.confirmed(head, body)?,
            Kind::Unsubscribed => drop(self.publishes.remove(&head.channel)),
            Kind::Refused => {
                if let Some(topic) = parts.topics.by_channel(head.channel) {
                    topic.refused(link, head.seq);
                }
            }
            Kind::Missed => {
                if let Some(topic) = self.publishes.get(&head.channel) {
                    topic.missed(link, head.seq);
                }
            }
            Kind::AskHistory => self.ask_history(head, decode_needs(body)?),
            Kind::HistoryItem => self.history_item(head, body)?,
            Kind::HistoryEnd => {
                if let Some(topic) = self.publishes.get(&head.channel) {
                    topic.history_end(head.seq, Answer::from_flags(head.flags));
                }
            }
            Kind::Handler => parts.requests.peer_has(link, name(body)?)?,
            Kind::HandlerGone => parts.requests.peer_lacks(link, name(body)?),
            Kind::Draining => parts.requests.peer_drains(link),
            Kind::Request => {
                let (remaining, name, payload) = decode_request(body)?;
                let payload = owned(head, payload);
                parts.requests.asked(link, head.seq, Asked { name, remaining, payload, by: None, to: None });
            }
            Kind::Reply => parts.requests.replied(link.peer, head.seq, owned(head, body)),
            Kind::Failed => {
                let (code, text) = decode_failure(body)?;
                parts.requests.failed(link.peer, head.seq, code, text);
            }
            Kind::Cancel => parts.requests.cancelled(link, head.seq),
            Kind::RemoteMessage | Kind::RemoteNext => self.remote(kind, head, body)?,
            Kind::RemoteRequest => self.remote_request(head, body)?,
        }
        Ok(())
    }

    fn subscribe(&mut self, head: &Head, body: &[u8]) -> Result<(), Refused> {
        let name = name(body)?;
        if self.subscribes.len() >= self.parts.limits.topics {
            self.link.control(Head::new(Kind::Refused).channel(head.channel).seq(head.seq), &[]);
            return Ok(());
        }
        let topic = self.parts.topics.add_subscriber(name, &self.link, head.channel, head.seq);
        if let Some(other) = self.subscribes.insert(head.channel, topic.clone())
            && !Arc::ptr_eq(&other, &topic)
        {
            return Err(Refused::Frame(FrameError::OutOfTurn { kind: head.kind }));
        }
        Ok(())
    }

    fn confirmed(&mut self, head: &Head, body: &[u8]) -> Result<(), Refused> {
        let (channel, question) = body.split_first_chunk().ok_or(Truncated)?;
        let question = u64::from_le_bytes(*question.first_chunk().ok_or(Truncated)?);
        let Some(topic) = self.parts.topics.by_channel(u32::from_le_bytes(*channel)) else { return Ok(()) };
        if topic.confirmed(&self.link, question, head.seq) {
            self.publishes.insert(head.channel, topic);
        }
        Ok(())
    }

    fn ask_history(&mut self, head: &Head, needs: Needs) {
        let Some(topic) = self.subscribes.get(&head.channel).cloned() else { return };
        let (topics, link, number) = (self.parts.topics.clone(), self.link.clone(), head.seq);
        match self.questions.clone().try_acquire_owned() {
            Ok(turn) => drop(self.parts.runtime.spawn(async move {
                topics.answer(topic, link, number, needs).await;
                drop(turn);
            })),
            // The peer asks another process.
            Err(_) => topic.end_answer(&link, number, Answer::NotKept),
        }
    }

    /// What the gateway says of other machines. No other process may speak for them.
    fn remote(&mut self, kind: Kind, head: &Head, body: &[u8]) -> Result<(), Refused> {
        if self.link.peer != NodeId::GATEWAY {
            return Err(Refused::Frame(FrameError::OutOfTurn { kind: head.kind }));
        }
        let (process, payload) = decode_remote(body)?;
        let Some(topic) = self.publishes.get(&head.channel) else { return Ok(()) };
        let from = process.id();
        self.parts.remotes.remember(from, process);
        if kind == Kind::RemoteNext {
            topic.remote_next(&self.link, from, head.seq);
            return Ok(());
        }
        let message = Arrived { seq: head.seq, payload: owned(head, payload) };
        let crowded = topic.deliver_remote(&self.link, from, message);
        self.crowded = Queue::most_patient(crowded, self.crowded.take());
        Ok(())
    }

    /// The gateway asks for a process of another machine, or is to ask one.
    fn remote_request(&mut self, head: &Head, body: &[u8]) -> Result<(), Refused> {
        let (process, rest) = decode_remote(body)?;
        let (remaining, name, payload) = decode_request(rest)?;
        let (by, to) = match (self.link.peer, self.parts.me) {
            (NodeId::GATEWAY, _) => {
                self.parts.remotes.remember(process.id(), process.clone());
                (Some(process), None)
            }
            (_, NodeId::GATEWAY) => (None, Some(process)),
            _ => return Err(Refused::Frame(FrameError::OutOfTurn { kind: head.kind })),
        };
        let asked = Asked { name, remaining, payload: owned(head, payload), by, to };
        self.parts.requests.asked(&self.link, head.seq, asked);
        Ok(())
    }

    fn history_item(&mut self, head: &Head, body: &[u8]) -> Result<(), Refused> {
        let (question, from, payload) = decode_item(body)?;
        if let Some(topic) = self.publishes.get(&head.channel) {
            topic.history_item(question, from, head.seq, owned(head, payload));
        }
        Ok(())
    }
}

impl Run {
    fn add(&mut self, frame: &Frame<'_>, start: usize) {
        if self.messages.is_empty() {
            self.channel = frame.head.channel;
            self.frames.start = start;
        }
        self.frames.end = start + frame.length();
        let payload = start + HEADER..self.frames.end;
        let content = ContentType::from_flags(frame.head.flags);
        self.messages.push(RunMessage { seq: frame.head.seq, content, payload });
    }
}

fn owned(head: &Head, payload: &[u8]) -> Payload {
    Payload { content: ContentType::from_flags(head.flags), bytes: Bytes::copy_from_slice(payload) }
}

fn name(body: &[u8]) -> Result<&str, Truncated> {
    match str::from_utf8(body) {
        Ok(name) if is_name(name) => Ok(name),
        _ => Err(Truncated),
    }
}

/// A frame that is refused.
enum Refused {
    Truncated,
    Frame(FrameError),
}

impl Refused {
    fn frame_error(self, kind: Kind) -> FrameError {
        match self {
            Refused::Truncated => FrameError::Malformed { kind: kind as u8 },
            Refused::Frame(error) => error,
        }
    }
}

impl From<Truncated> for Refused {
    fn from(_: Truncated) -> Refused {
        Refused::Truncated
    }
}

impl From<FrameError> for Refused {
    fn from(error: FrameError) -> Refused {
        Refused::Frame(error)
    }
}
