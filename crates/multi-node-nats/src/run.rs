//! The gateway's loop: what happens at the processes of this machine and at NATS goes to the rules, and what they say is done.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event as NatsEvent, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use multi_node_bus::{Bus, Event, PeerStatus, RawTopic, Relay};
use multi_node_fleet::id::NodeId;
use multi_node_fleet::status::GatewayStatus;
use multi_node_sys::log;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::connection::connect;
use crate::frame::Publisher;
use crate::gateway::{Action, Gateway, Local, LocalEvent};
use crate::join::{Join, JoinError};
use crate::machine::Machine;
use crate::requests::{Answers, Asks};
use crate::{store, subject};

/// How often what others have to know is repeated.
const TICK: Duration = Duration::from_secs(2);

/// How many batches of messages may wait for the loop, of each side. Then readers wait, and the queues before them drop.
const QUEUE: usize = 64;

/// At most this number of messages of one topic goes in one batch.
const BATCH: usize = 256;

/// How long a frame may wait for the client, which waits while NATS does not read.
const SEND: Duration = Duration::from_secs(1);

/// What the log calls the source.
const TARGET: &str = "multi_node";

/// Joins the processes of `bus` to those of other machines, as long as it is polled. While NATS is not there, it tries again, and the
/// machine is on its own.
///
/// # Errors
/// Where the servers cannot be used as they are named.
pub async fn run(
    join: &Join,
    machine: &Machine,
    bus: Bus,
    state: &watch::Sender<GatewayStatus>,
) -> Result<(), JoinError> {
    let asks = Asks::begin(machine, &bus);
    store::begin(&machine.cluster, &bus, &asks.nats());
    let (client, events) = connect(join, machine).await?;
    let answers = Answers::begin(machine, &bus, &client).await;
    let (from_here, here) = mpsc::channel(QUEUE);
    let (from_there, there) = mpsc::channel(QUEUE);
    let gateway = Gateway::new(&machine.cluster, &machine.name, machine.epoch);
    let sides = Sides {
        client,
        relay: bus.relay(),
        handlers: bus.relay(),
        bus,
        from_here,
        from_there,
        listens: HashMap::new(),
        follows: HashMap::new(),
    };
    let mut running = Running { gateway, sides, asks, answers, failed: 0 };
    running.sides.listen(None, subject::interest(&machine.cluster)).await;
    running.sides.await_answers(&running.asks).await;
    running.go(events, here, there, state).await
}

/// What comes from a topic of this machine's processes.
enum Here {
    /// The subscription stands.
    Follows(String),
    Events(String, Vec<Event>),
}

/// What comes from NATS: in the subject of this topic, or of wishes.
type There = (Option<String>, Bytes);

struct Running {
    gateway: Gateway,
    sides: Sides,
    asks: Arc<Asks>,
    answers: Answers,
    /// Frames that NATS did not take.
    failed: u64,
}

impl Running {
    async fn go(
        &mut self,
        mut events: mpsc::Receiver<NatsEvent>,
        mut here: mpsc::Receiver<Here>,
        mut there: mpsc::Receiver<There>,
        state: &watch::Sender<GatewayStatus>,
    ) -> Result<(), JoinError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let actions = self.gateway.wanted_here(self.sides.wanted());
        self.perform(actions).await;
        self.answers.listen(self.sides.relay.handlers()).await;
        loop {
            let actions = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.nats(&event),
                    None => return Err(JoinError::Client("the client has ended".to_owned())),
                },
                () = self.sides.relay.subscribed_changed() => self.gateway.wanted_here(self.sides.wanted()),
                () = self.sides.handlers.handlers_changed() => {
                    self.answers.listen(self.sides.relay.handlers()).await;
                    continue;
                }
                Some(here) = here.recv() => self.here(here),
                Some((topic, frame)) = there.recv() => self.gateway.received(topic.as_deref(), &frame),
                _ = tick.tick() => self.gateway.tick(&self.sides.living()),
            };
            self.perform(actions).await;
            self.show(state);
        }
    }

    fn nats(&mut self, event: &NatsEvent) -> Vec<Action> {
        match event {
            NatsEvent::Connected => {
                log::info!(target: TARGET, "joined with other machines by NATS");
                self.asks.connected(Some(&self.sides.client));
                self.gateway.connected(self.sides.client.max_payload())
            }
            NatsEvent::Disconnected => {
                log::warn!(target: TARGET, "NATS is not there: this machine is on its own for now");
                self.asks.connected(None);
                self.gateway.disconnected();
                Vec::new()
            }
            // An attempt to connect failed, and another follows.
            NatsEvent::ClientError(error) => {
                log::debug!(target: TARGET, "NATS: {error}");
                Vec::new()
            }
            other => {
                log::warn!(target: TARGET, "NATS: {other}");
                Vec::new()
            }
        }
    }

    fn here(&mut self, here: Here) -> Vec<Action> {
        match here {
            Here::Follows(topic) => {
                let firsts = self.sides.firsts(&topic);
                self.gateway.follows(&topic, &firsts)
            }
            Here::Events(topic, events) => {
                let events = events.into_iter().map(|event| self.local(&topic, event)).collect();
                self.gateway.published(&topic, events)
            }
        }
    }

    fn local(&self, topic: &str, event: Event) -> Local {
        let id = event.from();
        let (from, first) = match self.gateway.knows(topic, id.number()) {
            true => (Publisher { number: id.number(), slot: None }, None),
            false => (self.sides.publisher(id), self.sides.first(topic, id)),
        };
        let event = match event {
            Event::Message { payload, .. } => LocalEvent::Message(payload),
            Event::Lagged { missed, .. } => LocalEvent::Lagged(missed),
        };
        Local { from, first, event }
    }

    async fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Listen(topic) => {
                    let subject = subject::topic(self.gateway.cluster(), &topic);
                    self.sides.listen(Some(topic), subject).await;
                }
                Action::Unlisten(topic) => drop(self.sides.listens.remove(&Some(topic))),
                Action::Follow(topic) => self.sides.follow(topic),
                Action::Unfollow(topic) => drop(self.sides.follows.remove(&topic)),
                Action::Publish { subject, frame } => self.publish(subject, frame).await,
                Action::Message { topic, from, seq, payload } => {
                    self.sides.relay.message(&topic, &from, seq, &payload);
                }
                Action::Next { topic, from, next } => self.sides.relay.next_is(&topic, &from, next),
            }
        }
    }

    /// What NATS does not take is lost: the places that are repeated show it.
    async fn publish(&mut self, subject: String, frame: Bytes) {
        let sent = timeout(SEND, self.sides.client.publish(subject, frame)).await;
        self.failed += u64::from(!matches!(sent, Ok(Ok(()))));
    }

    fn show(&self, state: &watch::Sender<GatewayStatus>) {
        let counted = self.gateway.counted;
        let mut now = *state.borrow();
        now.connected = self.gateway.is_connected();
        now.machines = self.gateway.machines();
        now.published = counted.published;
        now.received = counted.received;
        now.dropped = counted.dropped + self.failed;
        now.bad_frames = counted.bad_frames + self.asks.bad_frames() + self.answers.bad_frames();
        state.send_if_modified(|state| std::mem::replace(state, now) != now);
    }
}

/// A task that ends when this is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The processes of this machine, and NATS.
struct Sides {
    client: Client,
    bus: Bus,
    relay: Relay,
    /// Sees the handlers change.
    handlers: Relay,
    from_here: mpsc::Sender<Here>,
    from_there: mpsc::Sender<There>,
    listens: HashMap<Option<String>, Task>,
    follows: HashMap<String, (RawTopic, Task)>,
}

impl Sides {
    fn wanted(&self) -> BTreeSet<String> {
        self.relay.subscribed().iter().map(ToString::to_string).collect()
    }

    /// The numbers of this machine's processes.
    fn living(&self) -> BTreeSet<u64> {
        self.bus.peers().iter().map(|peer| peer.id.number()).collect()
    }

    fn publisher(&self, id: NodeId) -> Publisher {
        let peer = self.bus.peers().into_iter().find(|peer| peer.id == id);
        Publisher { number: id.number(), slot: peer.and_then(|peer| peer.slot) }
    }

    fn first(&self, topic: &str, id: NodeId) -> Option<u64> {
        self.follows.get(topic)?.0.first_of(id)
    }

    /// Where the messages of each process begin.
    fn firsts(&self, topic: &str) -> Vec<(Publisher, u64)> {
        let first = |peer: PeerStatus| {
            Some((Publisher { number: peer.id.number(), slot: peer.slot }, self.first(topic, peer.id)?))
        };
        self.bus.peers().into_iter().filter_map(first).collect()
    }

    async fn listen(&mut self, topic: Option<String>, subject: String) {
        match self.client.subscribe(subject).await {
            Ok(subscriber) => {
                let task = tokio::spawn(forward(topic.clone(), subscriber, self.from_there.clone()));
                self.listens.insert(topic, Task(task.abort_handle()));
            }
            Err(error) => log::error!(topic, "cannot subscribe at NATS: {error}"),
        }
    }

    async fn await_answers(&self, asks: &Arc<Asks>) {
        match self.client.subscribe(asks.subject()).await {
            Ok(answers) => drop(tokio::spawn(asks.clone().receive(answers))),
            Err(error) => log::error!("cannot subscribe at NATS: {error}"),
        }
    }

    fn follow(&mut self, name: String) {
        match self.bus.topic(&name) {
            Ok(topic) => {
                let task = tokio::spawn(follow(topic.clone(), self.from_here.clone()));
                self.follows.insert(name, (topic, Task(task.abort_handle())));
            }
            Err(error) => log::warn!(topic = name, "other machines get nothing of a topic: {error}"),
        }
    }
}

async fn forward(topic: Option<String>, mut subscriber: Subscriber, to: mpsc::Sender<There>) {
    while let Some(message) = subscriber.next().await {
        if to.send((topic.clone(), message.payload)).await.is_err() {
            return;
        }
    }
}

async fn follow(topic: RawTopic, to: mpsc::Sender<Here>) {
    let mut subscription = topic.subscribe().await;
    let name = topic.name().to_owned();
    drop(topic);
    let mut here = Here::Follows(name.clone());
    while to.send(here).await.is_ok() {
        let mut events = Vec::new();
        subscription.recv_many(&mut events, BATCH).await;
        here = Here::Events(name.clone(), events);
    }
}
