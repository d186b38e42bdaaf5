//! Several gateways over a network that the test plays: it loses, doubles, reorders and cuts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use multi_node_bus::{Came, Payload, Sequences};
use multi_node_fleet::id::{NodeId, Slot};
use proptest::prelude::*;

use super::{Action, Gateway, Local, LocalEvent};
use crate::frame::Publisher;
use crate::subject;

const TOPIC: &str = "news";
const MACHINES: usize = 3;
const MOST: usize = 1 << 20;

/// One machine: its gateway, a process that publishes, and one that subscribes.
struct Machine {
    gateway: Gateway,
    follows: bool,
    next: u64,
    sequences: Sequences,
    /// By publisher: its first number that could come, and how many came or are known to be missing.
    seen: BTreeMap<NodeId, (u64, u64)>,
    received: u64,
}

struct World {
    machines: Vec<Machine>,
    /// Frames on their way, with the machine where each arrives.
    network: VecDeque<(usize, Option<&'static str>, Bytes)>,
}

fn publisher() -> Publisher {
    Publisher { number: 1, slot: Some(Slot(0)) }
}

fn name(machine: usize) -> String {
    format!("m{machine}")
}

impl World {
    fn new() -> World {
        let machine = |number| Machine {
            gateway: Gateway::new("test", &name(number), 1),
            follows: false,
            next: 1,
            sequences: Sequences::default(),
            seen: BTreeMap::new(),
            received: 0,
        };
        let mut world = World { machines: (0..MACHINES).map(machine).collect(), network: VecDeque::new() };
        (0..MACHINES).for_each(|machine| world.begin(machine));
        world
    }

    /// A gateway has just been started.
    fn begin(&mut self, machine: usize) {
        let gateway = &mut self.machines[machine].gateway;
        let mut actions = gateway.wanted_here(BTreeSet::from([TOPIC.to_owned()]));
        actions.extend(gateway.connected(MOST));
        self.perform(machine, actions);
    }

    fn restart(&mut self, machine: usize) {
        self.machines[machine].gateway = Gateway::new("test", &name(machine), 1);
        self.machines[machine].follows = false;
        self.begin(machine);
    }

    fn cut(&mut self, machine: usize) {
        self.machines[machine].gateway.disconnected();
        self.network.retain(|(to, ..)| *to != machine);
    }

    fn heal(&mut self, machine: usize) {
        let actions = self.machines[machine].gateway.connected(MOST);
        self.perform(machine, actions);
    }

    fn publish(&mut self, machine: usize) {
        let its = &mut self.machines[machine];
        let first = (!its.gateway.knows(TOPIC, 1)).then_some(its.next);
        its.next += 1;
        if its.follows {
            let event = LocalEvent::Message(Payload::text("x"));
            let actions = its.gateway.published(TOPIC, vec![Local { from: publisher(), first, event }]);
            self.perform(machine, actions);
        }
    }

    fn tick(&mut self, machine: usize) {
        let actions = self.machines[machine].gateway.tick(&BTreeSet::from([1]));
        self.perform(machine, actions);
    }

    fn arrive(&mut self, at: usize) {
        if let Some((machine, topic, frame)) = self.network.remove(at) {
            let actions = self.machines[machine].gateway.received(topic, &frame);
            self.perform(machine, actions);
        }
    }

    fn arrive_all(&mut self) {
        while !self.network.is_empty() {
            self.arrive(0);
        }
    }

    fn perform(&mut self, machine: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Publish { subject, frame } => {
                    let topic = (subject == subject::topic("test", TOPIC)).then_some(TOPIC);
                    let others = (0..MACHINES).filter(|other| *other != machine);
                    self.network.extend(others.map(|other| (other, topic, frame.clone())));
                }
                Action::Follow(_) => {
                    let its = &mut self.machines[machine];
                    its.follows = true;
                    let actions = its.gateway.follows(TOPIC, &[(publisher(), its.next)]);
                    self.perform(machine, actions);
                }
                Action::Unfollow(_) => self.machines[machine].follows = false,
                Action::Message { from, seq, .. } => self.machines[machine].came(from.id(), seq, true),
                Action::Next { from, next, .. } => self.machines[machine].came(from.id(), next, false),
                Action::Listen(_) | Action::Unlisten(_) => {}
            }
        }
    }

    /// All that is on its way arrives, and what was lost is repeated.
    fn settle(&mut self) {
        for _ in 0..3 {
            (0..MACHINES).for_each(|machine| self.tick(machine));
            self.arrive_all();
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (number, machine) in self.machines.iter().enumerate() {
            prop_assert_eq!(machine.seen.len(), MACHINES - 1, "{} knows all others", number);
            for other in (0..MACHINES).filter(|other| *other != number) {
                let process = super::rules::process(&name(other), 1, publisher());
                let (first, seen) = machine.seen[&process.id()];
                prop_assert_eq!(first + seen, self.machines[other].next, "what {} has of {}", number, other);
            }
        }
        Ok(())
    }
}

impl Machine {
    fn came(&mut self, from: NodeId, number: u64, is_message: bool) {
        let (_, seen) = self.seen.entry(from).or_insert((number, 0));
        match is_message {
            true => {
                if let Came::After(missed) = self.sequences.message(from, number) {
                    *seen += missed + 1;
                    self.received += 1;
                }
            }
            false => *seen += self.sequences.next_is(from, number),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Tick(usize),
    Arrive(prop::sample::Index),
    ArriveAll,
    Lose(prop::sample::Index),
    Double(prop::sample::Index),
    Cut(usize),
    Heal(usize),
    Restart(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let machine = || 0..MACHINES;
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => machine().prop_map(Step::Publish),
        2 => machine().prop_map(Step::Tick),
        6 => index().prop_map(Step::Arrive),
        1 => Just(Step::ArriveAll),
        2 => index().prop_map(Step::Lose),
        1 => index().prop_map(Step::Double),
        1 => machine().prop_map(Step::Cut),
        2 => machine().prop_map(Step::Heal),
        1 => machine().prop_map(Step::Restart),
    ]
}

impl World {
    fn step(&mut self, step: &Step) {
        let len = self.network.len();
        match step {
            Step::Publish(machine) => self.publish(*machine),
            Step::Tick(machine) => self.tick(*machine),
            Step::Arrive(index) if len > 0 => self.arrive(index.index(len)),
            Step::ArriveAll => self.arrive_all(),
            Step::Lose(index) if len > 0 => drop(self.network.remove(index.index(len))),
            Step::Double(index) if len > 0 => self.network.push_back(self.network[index.index(len)].clone()),
            Step::Arrive(_) | Step::Lose(_) | Step::Double(_) => {}
            Step::Cut(machine) => self.cut(*machine),
            Step::Heal(machine) => self.heal(*machine),
            Step::Restart(machine) => self.restart(*machine),
        }
    }
}

proptest! {
    #[test]
    fn nothing_comes_twice_and_every_loss_shows(steps in prop::collection::vec(any_step(), 0..150)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        (0..MACHINES).for_each(|machine| world.heal(machine));
        world.settle();
        world.check()?;
    }
}

#[test]
fn without_faults_each_machine_gets_every_message_once() {
    let mut world = World::new();
    world.arrive_all();
    for round in 0..50 {
        world.publish(round % MACHINES);
        world.arrive_all();
    }
    world.settle();
    let others: Vec<u64> = world.machines.iter().map(|machine| 51 - machine.next).collect();
    assert_eq!(world.machines.iter().map(|machine| machine.received).collect::<Vec<_>>(), others);
    world.check().unwrap();
}

fn published(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Publish { .. })).count()
}

fn message(bytes: usize) -> Vec<Local> {
    let event = LocalEvent::Message(Payload::bytes(vec![0; bytes]));
    vec![Local { from: publisher(), first: Some(1), event }]
}

/// A gateway whose topic another machine wants.
fn wanted() -> Gateway {
    let mut gateway = Gateway::new("test", "a", 1);
    gateway.connected(MOST);
    let other = crate::frame::Sender { machine: "b".to_owned(), epoch: 1 };
    for frame in other.wants(false, [TOPIC].into_iter()) {
        assert_eq!(gateway.received(None, &frame), [Action::Follow(TOPIC.to_owned())]);
    }
    gateway
}

#[test]
fn a_topic_that_nobody_wants_any_longer_costs_nothing() {
    let mut gateway = wanted();
    assert_eq!(published(&gateway.published(TOPIC, message(1))), 1);
    let ticks: Vec<Action> = (0..4).flat_map(|_| gateway.tick(&BTreeSet::from([1]))).collect();
    assert!(ticks.contains(&Action::Unfollow(TOPIC.to_owned())), "the other machine has not repeated its wish");
    assert_eq!(gateway.published(TOPIC, message(1)), []);
}

#[test]
fn a_gateway_that_comes_later_learns_at_once_what_others_want() {
    let mut gateway = Gateway::new("test", "a", 1);
    gateway.connected(MOST);
    gateway.wanted_here(BTreeSet::from([TOPIC.to_owned()]));
    let mut later = Gateway::new("test", "b", 1);
    let answers: Vec<Action> = later.connected(MOST).iter().flat_map(|action| answer(&mut gateway, action)).collect();
    let follows = answers.iter().flat_map(|action| answer(&mut later, action)).collect::<Vec<_>>();
    assert_eq!(follows, [Action::Follow(TOPIC.to_owned())]);
}

/// What this gateway does about what another one sends to all.
fn answer(gateway: &mut Gateway, action: &Action) -> Vec<Action> {
    match action {
        Action::Publish { frame, .. } => gateway.received(None, frame),
        _ => Vec::new(),
    }
}

#[test]
fn a_machine_that_wants_everything_gets_a_bounded_number_of_topics() {
    let mut gateway = wanted();
    let other = crate::frame::Sender { machine: "b".to_owned(), epoch: 1 };
    let names: Vec<String> = (0..10_000).map(|number| format!("t{number}")).collect();
    let frames = other.wants(false, names.iter().map(String::as_str));
    let actions = frames.iter().flat_map(|frame| gateway.received(None, frame)).collect::<Vec<_>>();
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Follow(_))).count(), 3999);
}

#[test]
fn a_message_that_is_too_large_shows_as_a_gap() {
    let mut gateway = wanted();
    assert_eq!(published(&gateway.published(TOPIC, message(MOST))), 0);
    assert_eq!(gateway.counted.dropped, 1);
    assert!(published(&gateway.tick(&BTreeSet::from([1]))) > 0, "its place is repeated");
}

#[test]
fn what_is_quiet_is_not_repeated_for_ever() {
    let mut gateway = wanted();
    gateway.published(TOPIC, message(1));
    let other = crate::frame::Sender { machine: "b".to_owned(), epoch: 1 };
    let frames = other.wants(false, [TOPIC].into_iter());
    let mut said = Vec::new();
    for _ in 0..8 {
        frames.iter().for_each(|frame| drop(gateway.received(None, frame)));
        said.push(published(&gateway.tick(&BTreeSet::from([1]))));
    }
    assert_eq!(said, [1, 1, 1, 1, 1, 0, 0, 0]);
    assert!(gateway.knows(TOPIC, 1));
    gateway.tick(&BTreeSet::new());
    assert!(!gateway.knows(TOPIC, 1), "the process is gone");
}

#[test]
fn hostile_frames_are_counted_and_do_nothing() {
    let mut gateway = wanted();
    let other = crate::frame::Sender { machine: "b".to_owned(), epoch: 1 };
    let of_wishes = other.wants(false, [TOPIC].into_iter()).remove(0);
    assert_eq!(gateway.received(Some(TOPIC), &of_wishes), [], "in the subject of a topic");
    assert_eq!(gateway.received(None, &Bytes::from_static(b"nonsense")), []);
    assert_eq!(gateway.counted.bad_frames, 2);
    let own = crate::frame::Sender { machine: "a".to_owned(), epoch: 1 };
    assert_eq!(gateway.received(None, &own.wants(true, ["x"].into_iter()).remove(0)), [], "its own");
}
