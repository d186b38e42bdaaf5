//! The gateway's loop: what happens at the processes of this machine and at NATS goes to the rules, and what they say is done.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event as NatsEvent, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use multi_node_bus::{Bus, Event, PeerStatus, RawTopic, Relay};
use multi_node_fleet::id::NodeId;
use multi_node_fleet::machines::{self, MachineFleet, Machines};
use multi_node_fleet::status::GatewayStatus;
use multi_node_sys::log;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::connection::{Happened, connect};
use crate::frame::Publisher;
use crate::gateway::{Action, Gateway, Local, LocalEvent};
use crate::join::{Join, JoinError};
use crate::machine::Machine;
use crate::requests::{Answers, Asks};
use crate::trouble::Trouble;
use crate::{store, subject};

/// How often what others have to know is repeated.
const TICK: Duration = Duration::from_secs(2);

/// How many batches of messages may wait for the loop, of each side. Then readers wait, and the queues before them drop.
const QUEUE: usize = 64;

/// At most this number of messages of one topic goes in one batch.
const BATCH: usize = 256;

/// How long a frame may wait for the client, which waits while NATS does not read.
const SEND: Duration = Duration::from_secs(1);

/// How far apart two reports of this machine's processes are at least.
const FLEET_EVERY: Duration = Duration::from_millis(100);

/// What the log calls the source.
const TARGET: &str = "multi_node";

/// What the master tells the gateway.
#[derive(Debug)]
pub enum FromMaster {
    /// The processes of this machine.
    Fleet(MachineFleet),
    /// The program ends.
    Leave,
}

/// Where the gateway shows what it is like and what it knows.
#[derive(Debug, Default)]
pub struct Seen {
    /// How it is.
    pub status: watch::Sender<GatewayStatus>,
    /// What it knows of other machines.
    pub machines: watch::Sender<Machines>,
}

/// Joins the processes of `bus` to those of other machines until the master says that the program ends. While NATS is not there, it tries
/// again, and the machine is on its own. `known`: what the gateway before has known of other machines.
///
/// # Errors
/// Where the servers cannot be used as they are named.
pub async fn run(
    join: &Join,
    machine: &Machine,
    bus: Bus,
    (known, master): (Vec<machines::Machine>, mpsc::Receiver<FromMaster>),
    seen: &Seen,
) -> Result<(), JoinError> {
    let asks = Asks::begin(machine, &bus);
    store::begin(&machine.cluster, &bus, &asks.nats());
    let (client, events) = connect(join, machine).await?;
    let answers = Answers::begin(machine, &bus, &client).await;
    let (from_here, here) = mpsc::channel(QUEUE);
    let (from_there, there) = mpsc::channel(QUEUE);
    let mut gateway = Gateway::new(&machine.cluster, &machine.name, machine.epoch);
    gateway.inherit(known);
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
    let mut running = Running { gateway, sides, asks, answers, trouble: Trouble::default(), failed: 0 };
    running.sides.listen(None, subject::interest(&machine.cluster)).await;
    running.sides.await_answers(&running.asks).await;
    running.go(events, here, there, master, seen).await
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
    trouble: Trouble,
    /// Frames that NATS did not take.
    failed: u64,
}

/// When this machine's processes may be named again.
async fn next_fleet(is_due: bool, at: Instant) {
    match is_due {
        true => sleep_until(at).await,
        false => std::future::pending().await,
    }
}

impl Running {
    async fn go(
        &mut self,
        mut events: mpsc::Receiver<Happened>,
        mut here: mpsc::Receiver<Here>,
        mut there: mpsc::Receiver<There>,
        mut master: mpsc::Receiver<FromMaster>,
        seen: &Seen,
    ) -> Result<(), JoinError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let actions = self.gateway.wanted_here(self.sides.wanted());
        self.perform(actions).await;
        self.answers.listen(self.sides.relay.handlers()).await;
        self.show(seen);
        let mut fleet_at = Instant::now();
        loop {
            let actions = tokio::select! {
                event = events.recv() => match event {
                    Some(Happened::Nats(event)) => self.nats(&event),
                    Some(Happened::Failed(why)) => {
                        self.trouble.is(&why);
                        Vec::new()
                    }
                    None => return Err(JoinError::Client("the client has ended".to_owned())),
                },
                () = self.sides.relay.subscribed_changed() => self.gateway.wanted_here(self.sides.wanted()),
                () = self.sides.handlers.handlers_changed() => {
                    self.answers.listen(self.sides.relay.handlers()).await;
                    continue;
                }
                Some(here) = here.recv() => self.here(here),
                Some((topic, frame)) = there.recv() => self.there(topic.as_deref(), &frame),
                Some(said) = master.recv() => match said {
                    FromMaster::Leave => return self.leave().await,
                    FromMaster::Fleet(fleet) => {
                        self.gateway.has_fleet(fleet);
                        Vec::new()
                    }
                },
                () = next_fleet(self.gateway.fleet_is_due(), fleet_at) => {
                    fleet_at = Instant::now() + FLEET_EVERY;
                    self.gateway.say_fleet()
                }
                _ = tick.tick() => self.gateway.tick(&self.sides.living()),
            };
            self.perform(actions).await;
            self.show(seen);
        }
    }

    async fn leave(&mut self) -> Result<(), JoinError> {
        let actions = self.gateway.leave();
        self.perform(actions).await;
        // Machines that do not hear of it find out.
        let _ = timeout(SEND, self.sides.client.flush()).await;
        Ok(())
    }

    fn nats(&mut self, event: &NatsEvent) -> Vec<Action> {
        match event {
            NatsEvent::Connected => {
                log::info!(target: TARGET, "joined with other machines by NATS");
                self.trouble.is_over();
                self.asks.connected(Some(&self.sides.client));
                self.gateway.connected(self.sides.client.max_payload())
            }
            NatsEvent::Disconnected => {
                log::warn!(target: TARGET, "NATS is not there: this machine is on its own for now");
                self.asks.connected(None);
                self.gateway.disconnected();
                Vec::new()
            }
            // An attempt to connect failed, and another follows, which says why.
            NatsEvent::ClientError(error) => {
                log::debug!(target: TARGET, "NATS: {error}");
                Vec::new()
            }
            NatsEvent::ServerError(error) => {
                self.trouble.is(&format!("NATS refuses something: {error}"));
                Vec::new()
            }
            other => {
                log::warn!(target: TARGET, "NATS: {other}");
                Vec::new()
            }
        }
    }

    fn there(&mut self, topic: Option<&str>, frame: &Bytes) -> Vec<Action> {
        let actions = self.gateway.received(topic, frame);
        if let Some(error) = self.gateway.bad_frame() {
            self.trouble.is(&format!("a program in this cluster's subjects has sent {error}"));
        }
        actions
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

    fn show(&self, seen: &Seen) {
        let counted = self.gateway.counted;
        let mut now = seen.status.borrow().clone();
        now.connected = self.gateway.is_connected();
        now.machines = self.gateway.reachable();
        now.published = counted.published;
        now.received = counted.received;
        now.dropped = counted.dropped + self.failed;
        now.bad_frames = counted.bad_frames + self.asks.bad_frames() + self.answers.bad_frames();
        now.error = self.trouble.latest();
        seen.status.send_if_modified(|status| std::mem::replace(status, now.clone()) != now);
        let machines = self.gateway.machines();
        seen.machines.send_if_modified(|known| {
            let changed = machines.since(known).is_some();
            known.clone_from(machines);
            changed
        });
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
        Publisher { number: id.number(), slot: self.bus.slot_of(id) }
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
