//! What a gateway does about what happens.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use multi_node_bus::{Payload, RemoteProcess};
use multi_node_fleet::machines::{Machine, MachineFleet, Machines};

use super::places::Places;
use super::presence::Presence;
use super::wants::Wants;
use crate::frame::{Body, Frame, FrameError, Message, Place, Publisher, Sender, digest};
use crate::subject;

/// How many bytes a frame of one message has at most beside the payload.
const REST: usize = 256;

/// How many topics are followed here at most, because others want them: less than a process may name.
const MOST_FOLLOWED: usize = 4000;

/// What the loop has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Subscribe to the topic at NATS.
    Listen(String),
    Unlisten(String),
    /// Subscribe to the topic at the processes of this machine.
    Follow(String),
    Unfollow(String),
    /// Send to the other machines.
    Publish {
        subject: String,
        frame: Bytes,
    },
    /// Give to the processes of this machine.
    Message {
        topic: String,
        from: RemoteProcess,
        seq: u64,
        payload: Payload,
    },
    /// Tell them the number of the next message.
    Next {
        topic: String,
        from: RemoteProcess,
        next: u64,
    },
}

/// An event of a topic at this machine.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) from: Publisher,
    /// The number of the publisher's first message, where the gateway does not know its place yet.
    pub(crate) first: Option<u64>,
    pub(crate) event: LocalEvent,
}

#[derive(Clone, Debug)]
pub(crate) enum LocalEvent {
    Message(Payload),
    Lagged(u64),
}

/// What has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) published: u64,
    pub(crate) received: u64,
    /// Messages that were too large for NATS, or came while it was not there. Their subscribers see the gap.
    pub(crate) dropped: u64,
    /// Frames of other machines that are none.
    pub(crate) bad_frames: u64,
    /// Wishes and machines for which there was no room.
    pub(crate) refused: u64,
}

/// The gateway of one machine.
#[derive(Debug)]
pub(crate) struct Gateway {
    cluster: String,
    me: Sender,
    connected: bool,
    /// The largest frame that NATS takes.
    most: usize,
    wanted_here: BTreeSet<String>,
    wanted_elsewhere: Wants,
    /// The topics that are followed here, because others want them.
    followed: BTreeMap<String, Places>,
    presence: Presence,
    /// The processes of this machine, once they are known.
    fleet: Option<MachineFleet>,
    /// Whether others have to get to know them.
    fleet_is_due: bool,
    pub(crate) counted: Counted,
    /// Why the latest frame that is none was refused.
    bad: Option<FrameError>,
}

impl Gateway {
    pub(crate) fn new(cluster: &str, machine: &str, epoch: u64) -> Gateway {
        Gateway {
            cluster: cluster.to_owned(),
            me: Sender { machine: machine.to_owned(), epoch },
            connected: false,
            most: usize::MAX,
            wanted_here: BTreeSet::new(),
            wanted_elsewhere: Wants::default(),
            followed: BTreeMap::new(),
            presence: Presence::default(),
            fleet: None,
            fleet_is_due: false,
            counted: Counted::default(),
            bad: None,
        }
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// What is known of other machines.
    pub(crate) fn machines(&self) -> &Machines {
        self.presence.machines()
    }

    /// How many other machines are there.
    pub(crate) fn reachable(&self) -> usize {
        self.presence.reachable()
    }

    /// The gateway before has known these machines.
    pub(crate) fn inherit(&mut self, machines: Vec<Machine>) {
        self.presence.inherit(machines);
    }

    /// Why a frame was refused since the last look.
    pub(crate) fn bad_frame(&mut self) -> Option<FrameError> {
        self.bad.take()
    }

    /// These are the processes of this machine now.
    pub(crate) fn has_fleet(&mut self, fleet: MachineFleet) {
        (self.fleet, self.fleet_is_due) = (Some(fleet), true);
    }

    /// Whether others have to get to know them.
    pub(crate) fn fleet_is_due(&self) -> bool {
        self.fleet_is_due && self.connected
    }

    pub(crate) fn say_fleet(&mut self) -> Vec<Action> {
        self.fleet_is_due = false;
        let frames = self.fleet.iter().map(|fleet| self.me.fleet(fleet)).collect();
        self.publish(&subject::interest(&self.cluster), frames)
    }

    /// The program ends.
    pub(crate) fn leave(&self) -> Vec<Action> {
        self.publish(&subject::interest(&self.cluster), vec![self.me.leaves()])
    }

    /// NATS is there, again or for the first time. What was said meanwhile, and shortly before, may be lost.
    pub(crate) fn connected(&mut self, most: usize) -> Vec<Action> {
        (self.connected, self.most, self.fleet_is_due) = (true, most, true);
        self.followed.values_mut().for_each(Places::repeat);
        let mut actions = self.publish(&subject::interest(&self.cluster), vec![self.me.asks_all()]);
        actions.extend(self.say_wants(true, &self.wanted_here));
        actions.extend(self.followed.iter().flat_map(|(topic, places)| self.say_places(topic, places)));
        actions
    }

    /// NATS is gone.
    pub(crate) fn disconnected(&mut self) {
        self.connected = false;
    }

    /// The processes of this machine subscribe to these topics.
    pub(crate) fn wanted_here(&mut self, topics: BTreeSet<String>) -> Vec<Action> {
        let new: BTreeSet<String> = topics.difference(&self.wanted_here).cloned().collect();
        let old: BTreeSet<String> = self.wanted_here.difference(&topics).cloned().collect();
        self.wanted_here = topics;
        let mut actions: Vec<Action> = new.iter().cloned().map(Action::Listen).collect();
        actions.extend(old.iter().cloned().map(Action::Unlisten));
        actions.extend(self.say_wants(true, &new));
        let frames = self.me.wants_no_more(old.iter().map(String::as_str));
        actions.extend(self.publish(&subject::interest(&self.cluster), frames));
        actions
    }

    /// Whether the place of this publisher is known.
    pub(crate) fn knows(&self, topic: &str, number: u64) -> bool {
        self.followed.get(topic).is_some_and(|places| places.knows(number))
    }

    /// A topic is followed now at these processes, from these messages on.
    pub(crate) fn follows(&mut self, topic: &str, firsts: &[(Publisher, u64)]) -> Vec<Action> {
        let Some(places) = self.followed.get_mut(topic) else { return Vec::new() };
        firsts.iter().for_each(|(from, first)| places.begin(*from, *first));
        self.followed.get(topic).map(|places| self.say_places(topic, places)).unwrap_or_default()
    }

    /// Events of processes of this machine, in each publisher's order.
    pub(crate) fn published(&mut self, topic: &str, events: Vec<Local>) -> Vec<Action> {
        let Some(places) = self.followed.get_mut(topic) else { return Vec::new() };
        let mut messages = Vec::new();
        for Local { from, first, event } in events {
            if let Some(first) = first {
                places.begin(from, first);
            }
            match event {
                LocalEvent::Message(payload) => {
                    let Place { from, next: seq } = places.advance(from, 1);
                    messages.push(Message { from, seq, payload });
                }
                LocalEvent::Lagged(missed) => {
                    places.advance(from, missed);
                }
            }
        }
        // The rest is for the frame's own bytes. What does not fit, or cannot be sent, shows as a gap.
        let fits = |message: &Message| self.connected && message.payload.bytes.len() + REST <= self.most;
        let (fitting, dropped): (Vec<Message>, Vec<Message>) = messages.into_iter().partition(fits);
        self.counted.published += fitting.len() as u64;
        self.counted.dropped += dropped.len() as u64;
        self.publish(&subject::topic(&self.cluster, topic), self.me.messages(&fitting))
    }

    /// A frame came in the subject of this topic; `None`: in that of wishes.
    pub(crate) fn received(&mut self, topic: Option<&str>, bytes: &Bytes) -> Vec<Action> {
        let Frame { machine, epoch, body } = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.counted.bad_frames += 1;
                self.bad = Some(error);
                return Vec::new();
            }
        };
        if machine == self.me.machine && epoch == self.me.epoch {
            return Vec::new();
        }
        match (topic, body) {
            (Some(topic), Body::Messages(messages)) => self.pass_on(topic, &machine, epoch, messages),
            (Some(topic), Body::Places(places)) => {
                let next = |place: Place| {
                    let from = process(&machine, epoch, place.from);
                    Action::Next { topic: topic.to_owned(), from, next: place.next }
                };
                places.into_iter().map(next).collect()
            }
            (None, Body::Wants { asks, topics }) => self.wanted(&(machine, epoch), asks, &topics),
            (None, Body::WantsNoMore(topics)) => {
                let machine = (machine, epoch);
                topics.iter().for_each(|topic| self.wanted_elsewhere.remove(topic, &machine));
                self.follow()
            }
            (None, Body::Fleet(fleet)) => {
                self.counted.refused += u64::from(!self.presence.fleet(&(machine, epoch), fleet));
                Vec::new()
            }
            (None, Body::Alive { digest }) => self.lives(&(machine, epoch), digest),
            (None, Body::Leaves) => {
                self.presence.leaves(&(machine, epoch));
                Vec::new()
            }
            (None, Body::AsksFleet(name)) => {
                self.fleet_is_due |= name == self.me.machine;
                Vec::new()
            }
            _ => {
                self.counted.bad_frames += 1;
                Vec::new()
            }
        }
    }

    fn lives(&mut self, machine: &(String, u64), digest: u64) -> Vec<Action> {
        match self.presence.alive(machine, digest) {
            true => Vec::new(),
            false => self.publish(&subject::interest(&self.cluster), vec![self.me.asks_fleet(&machine.0)]),
        }
    }

    fn pass_on(&mut self, topic: &str, machine: &str, epoch: u64, messages: Vec<Message>) -> Vec<Action> {
        self.counted.received += messages.len() as u64;
        let pass = |Message { from, seq, payload }| {
            let from = process(machine, epoch, from);
            Action::Message { topic: topic.to_owned(), from, seq, payload }
        };
        messages.into_iter().map(pass).collect()
    }

    /// Another machine wants these topics.
    fn wanted(&mut self, machine: &(String, u64), asks: bool, topics: &[String]) -> Vec<Action> {
        for topic in topics {
            let added = self.wanted_elsewhere.add(topic, machine.clone());
            self.counted.refused += u64::from(!added);
        }
        if asks && topics.is_empty() {
            self.fleet_is_due = true;
            return self.say_wants(false, &self.wanted_here);
        }
        let mut actions = self.follow();
        let known = topics.iter().filter(|_| asks).filter_map(|topic| self.followed.get_key_value(topic));
        actions.extend(known.flat_map(|(topic, places)| self.say_places(topic, places)));
        actions
    }

    /// Follows what others want, and nothing else.
    fn follow(&mut self) -> Vec<Action> {
        let wanted = self.wanted_elsewhere.topics();
        let mut actions = Vec::new();
        let room = MOST_FOLLOWED.saturating_sub(self.followed.len());
        for topic in wanted.iter().filter(|topic| !self.followed.contains_key(**topic)).take(room) {
            actions.push(Action::Follow((*topic).to_owned()));
        }
        for topic in self.followed.keys().filter(|topic| !wanted.contains(topic.as_str())) {
            actions.push(Action::Unfollow(topic.clone()));
        }
        for action in &actions {
            match action {
                Action::Follow(topic) => drop(self.followed.insert(topic.clone(), Places::default())),
                Action::Unfollow(topic) => drop(self.followed.remove(topic)),
                _ => {}
            }
        }
        actions
    }

    /// Time passes: what others have to know is repeated, and what they do not repeat is forgotten. `living`: the processes of this
    /// machine.
    pub(crate) fn tick(&mut self, living: &BTreeSet<u64>) -> Vec<Action> {
        self.wanted_elsewhere.tick();
        self.presence.tick();
        let mut actions = self.follow();
        let alive = self.fleet.iter().map(|fleet| self.me.alive(digest(fleet))).collect();
        actions.extend(self.publish(&subject::interest(&self.cluster), alive));
        actions.extend(self.say_wants(false, &self.wanted_here));
        let due: Vec<_> = self.followed.iter_mut().map(|(topic, places)| (topic.clone(), places.due(living))).collect();
        for (topic, places) in due {
            let frames = self.me.places(places.into_iter());
            actions.extend(self.publish(&subject::topic(&self.cluster, &topic), frames));
        }
        actions
    }

    fn say_wants(&self, asks: bool, topics: &BTreeSet<String>) -> Vec<Action> {
        let frames = self.me.wants(asks, topics.iter().map(String::as_str));
        self.publish(&subject::interest(&self.cluster), frames)
    }

    fn say_places(&self, topic: &str, places: &Places) -> Vec<Action> {
        self.publish(&subject::topic(&self.cluster, topic), self.me.places(places.all()))
    }

    /// Nothing is kept for later: what is said is soon old.
    fn publish(&self, subject: &str, frames: Vec<Bytes>) -> Vec<Action> {
        let sendable = frames.into_iter().filter(|_| self.connected);
        sendable.map(|frame| Action::Publish { subject: subject.to_owned(), frame }).collect()
    }
}

/// A process of another machine, as that machine calls it.
pub(crate) fn process(machine: &str, epoch: u64, from: Publisher) -> RemoteProcess {
    RemoteProcess { machine: machine.to_owned(), epoch, number: from.number, slot: from.slot }
}
