//! What no process of this machine answers goes to another machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, StatusCode, Subscriber};
use futures_util::StreamExt;
use multi_node_bus::{Bus, Elsewhere, Failure, Payload, RemoteProcess};
use multi_node_fleet::id::NodeId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cancels::Cancels;
use super::frame::{Question, decode_answer};
use super::replies::{Replies, Reply};
use super::room::Room;
use crate::frame::Publisher;
use crate::machine::Machine;
use crate::subject;

/// Asks other machines for the processes of this one.
#[derive(Debug)]
pub(crate) struct Asks {
    machine: Machine,
    bus: Bus,
    /// The client, while NATS is there.
    nats: watch::Sender<Option<Client>>,
    replies: Arc<Replies>,
    room: Room,
    cancels: Cancels,
    bad_frames: AtomicU64,
}

impl Asks {
    /// From now on what the processes of this machine do not answer is asked elsewhere, as soon as NATS is there.
    pub(crate) fn begin(machine: &Machine, bus: &Bus) -> Arc<Asks> {
        let asks = Arc::new(Asks {
            machine: machine.clone(),
            bus: bus.clone(),
            nats: watch::Sender::new(None),
            replies: Arc::new(Replies::new(&machine.cluster, fastrand::u64(..))),
            room: Room::new(),
            cancels: Cancels::begin(machine),
            bad_frames: AtomicU64::new(0),
        });
        let asking = asks.clone();
        bus.relay().ask_elsewhere(move |elsewhere| asking.clone().ask(elsewhere));
        asks
    }

    /// Where answers come. Their subscription goes to [`Asks::receive`].
    pub(crate) fn subject(&self) -> String {
        self.replies.subject()
    }

    /// The client, while NATS is there.
    pub(crate) fn nats(&self) -> watch::Receiver<Option<Client>> {
        self.nats.subscribe()
    }

    /// NATS is there, or is not. What was asked before has no answer then.
    pub(crate) fn connected(&self, client: Option<&Client>) {
        self.nats.send_replace(client.cloned());
    }

    /// How many answers were none.
    pub(crate) fn bad_frames(&self) -> u64 {
        self.bad_frames.load(Ordering::Relaxed)
    }

    /// Gives the answers to those who await them, until the client ends.
    pub(crate) async fn receive(self: Arc<Self>, mut answers: Subscriber) {
        while let Some(message) = answers.next().await {
            let reply = match message.status {
                Some(StatusCode::NO_RESPONDERS) => Reply::Nobody,
                _ => Reply::Frame(message.payload),
            };
            self.replies.came(&message.subject, reply);
        }
    }

    async fn ask(self: Arc<Self>, elsewhere: Elsewhere) -> Result<Payload, Failure> {
        let mut nats = self.nats.subscribe();
        let Some(client) = nats.borrow_and_update().clone() else { return Err(Failure::Unreachable) };
        let Some(_room) = self.room.take(elsewhere.payload.bytes.len()) else { return Err(Failure::Overloaded) };
        tokio::select! {
            answer = self.answer(&client, elsewhere) => answer,
            // The answer may have been lost.
            _ = nats.changed() => Err(Failure::Gone),
        }
    }

    async fn answer(&self, client: &Client, elsewhere: Elsewhere) -> Result<Payload, Failure> {
        let (subject, nobody) = self.whom(&elsewhere);
        let (is_named, deadline) = (elsewhere.to.is_some(), elsewhere.deadline);
        let question = self.question(elsewhere).encode();
        let (length, most) = (question.len(), client.max_payload());
        if length > most {
            return Err(Failure::Failed(format!("the request has {length} bytes, and NATS takes {most}")));
        }
        let mut awaited = self.replies.expect();
        let sent = client.publish_with_reply(subject.clone(), awaited.subject(), question).await;
        sent.map_err(|_| Failure::Unreachable)?;
        let abandoned = self.cancels.unless_answered(client, awaited.subject(), is_named.then_some(subject), deadline);
        let reply = awaited.reply().await;
        abandoned.answered();
        match reply {
            Some(Reply::Frame(frame)) => decode_answer(&frame).unwrap_or_else(|error| {
                self.bad_frames.fetch_add(1, Ordering::Relaxed);
                Err(Failure::Failed(format!("another machine has sent {error}")))
            }),
            Some(Reply::Nobody) => Err(nobody),
            None => Err(Failure::Gone),
        }
    }

    /// Where it is asked, and what it means that nobody listens there.
    fn whom(&self, elsewhere: &Elsewhere) -> (String, Failure) {
        let cluster = &self.machine.cluster;
        match &elsewhere.to {
            Some(RemoteProcess { machine, epoch, .. }) => {
                (subject::processes(cluster, machine, *epoch), Failure::NoSuchNode)
            }
            None => (subject::handler(cluster, &elsewhere.name), Failure::NoHandler),
        }
    }

    fn question(&self, elsewhere: Elsewhere) -> Question {
        let Elsewhere { from, name, to, payload, deadline } = elsewhere;
        let remaining = deadline.saturating_duration_since(Instant::now());
        Question {
            machine: self.machine.name.clone(),
            epoch: self.machine.epoch,
            by: self.process(from),
            to: to.map(|process| process.number),
            remaining: micros(remaining),
            name,
            payload,
        }
    }

    fn process(&self, id: NodeId) -> Publisher {
        Publisher { number: id.number(), slot: self.bus.slot_of(id) }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
