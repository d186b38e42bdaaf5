//! A world that checks after every event what must always be true.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::prop::sample::Index;

use super::super::orders::Running;
use super::super::{Action, Course, Event, Filled, Fleet, Policy, SlotRecord, Tally, Ticket};
use crate::control::Drained;
use crate::id::{Generation, NodeId};
use crate::order::Order;
use crate::status::{Exit, State};

/// What a node says or does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Hello,
    Ready,
    /// Hello and ready, one after the other.
    ComesUp,
    Failed,
    Beat,
    Extended,
    Leaving,
    Drained,
    Broken,
    Examined {
        traced: bool,
    },
    Exits(Exit),
}

pub(super) struct Audit {
    fleet: Fleet,
    now: Instant,
    /// All actions so far.
    pub(super) seen: Vec<Action>,
    resolving: VecDeque<Generation>,
    rehearsing: VecDeque<Generation>,
    /// Whether another program is about to take over.
    departing: bool,
    spawning: VecDeque<NodeId>,
    examining: VecDeque<NodeId>,
    looking: Vec<NodeId>,
    /// Nodes that take no new connections for now.
    paused: BTreeSet<NodeId>,
    /// Processes that live.
    alive: BTreeSet<NodeId>,
    /// Those among them that were sent a signal which ends them.
    signalled: BTreeSet<NodeId>,
    forgotten: BTreeSet<NodeId>,
    joined: BTreeSet<(NodeId, NodeId)>,
    /// How often each order was answered.
    answers: BTreeMap<Ticket, usize>,
    shutdown_asked: bool,
    finished: usize,
    /// How many serve at least while a reload is under way.
    floor: Option<usize>,
}

impl Audit {
    pub(super) fn started(policy: Policy, seed: u64) -> Audit {
        let mut audit = Audit {
            fleet: Fleet::new(policy, seed),
            // Late enough to go back from.
            now: Instant::now() + Duration::from_secs(24 * 3600),
            seen: Vec::new(),
            resolving: VecDeque::new(),
            rehearsing: VecDeque::new(),
            departing: false,
            spawning: VecDeque::new(),
            examining: VecDeque::new(),
            looking: Vec::new(),
            paused: BTreeSet::new(),
            alive: BTreeSet::new(),
            signalled: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            joined: BTreeSet::new(),
            answers: BTreeMap::new(),
            shutdown_asked: false,
            finished: 0,
            floor: None,
        };
        audit.on(Event::Start);
        audit
    }

    fn on(&mut self, event: Event) {
        let before = self.serving();
        let subject = subject(&event);
        let replaced = self.replaces();
        let (scaling, to_scale) = (self.scales(), matches!(event, Event::Asked { order: Order::Scale { .. }, .. }));
        let actions = self.fleet.on(self.now, event);
        let refused = actions.iter().any(|action| matches!(action, Action::Answer { result: Err(_), .. }));
        let scaled = scaling || (to_scale && !refused);
        for action in &actions {
            self.take(action);
        }
        self.seen.extend(actions);
        self.never_more_than_slots_and_surge();
        match scaled {
            true => self.floor = self.replaces().then(|| self.serving().len()),
            false => self.never_fewer_serving_for_a_replacement(&before, subject, replaced),
        }
        self.each_state_has_a_deadline_or_a_process();
        self.one_order_at_a_time();
        self.nobody_stays_paused();
        self.end_departure(self.seen.len().is_multiple_of(2));
    }

    fn take(&mut self, action: &Action) {
        match action {
            Action::Resolve { generation } => self.resolving.push_back(*generation),
            Action::Rehearse { generation } => self.rehearsing.push_back(*generation),
            Action::Depart { reload } => {
                assert_eq!(reload.slots.len(), self.fleet.slots.len(), "all slots run the new program");
                self.departing = true;
            }
            Action::Spawn { id, .. } => self.no_spawn_after_shutdown(*id),
            Action::Join { id, with } => self.each_pair_is_joined_once(*id, with),
            Action::Drain { id, .. } => assert!(self.alive.contains(id), "{id} drains without a process"),
            Action::Pause { id } => assert!(self.paused.insert(*id), "{id} is paused twice"),
            Action::Resume { id } => drop(self.paused.remove(id)),
            Action::Look { nodes, .. } => {
                assert!(nodes.iter().all(|id| self.alive.contains(id)), "{nodes:?} are looked at without a process");
                self.looking.clone_from(nodes);
            }
            Action::Examine { id } => self.examining.push_back(*id),
            Action::Signal { id, .. } => {
                assert!(self.alive.contains(id), "{id} is signalled without a process");
                self.signalled.insert(*id);
            }
            Action::Forward { id, .. } => assert!(self.alive.contains(id), "{id} is signalled without a process"),
            Action::Forget { id } => {
                assert!(!self.alive.contains(id), "{id} lives and is forgotten");
                assert!(self.forgotten.insert(*id), "{id} is forgotten twice");
            }
            Action::Answer { ticket, .. } => {
                let answers = self.answers.get_mut(ticket).expect("an answer to an order");
                *answers += 1;
                assert_eq!(*answers, 1, "{ticket:?} is answered twice");
            }
            Action::Tell(happening) => assert!(!happening.text.is_empty()),
            Action::Finish(_) => {
                self.finished += 1;
                assert_eq!(self.finished, 1, "the fleet ends twice");
                assert!(self.alive.is_empty() && self.spawning.is_empty(), "the fleet ends before its processes");
            }
        }
    }

    // The invariants, by name.

    fn no_spawn_after_shutdown(&mut self, id: NodeId) {
        assert!(!self.shutdown_asked && self.finished == 0, "{id} is started after the shutdown");
        assert_eq!(self.fleet.nodes.get(&id).map(|node| node.pid), Some(None), "ids are used once");
        self.spawning.push_back(id);
    }

    fn each_pair_is_joined_once(&mut self, id: NodeId, with: &[NodeId]) {
        for &other in with {
            assert!(self.joined.insert((id.min(other), id.max(other))), "{id} and {other} are joined twice");
            assert!(id != other && self.alive.contains(&id) && self.alive.contains(&other), "{id} with {other}");
        }
        let missing =
            self.fleet.nodes.iter().filter(|(other, node)| {
                **other != id && node.is_joinable() && node.pid.is_some() && !with.contains(other)
            });
        assert_eq!(missing.count(), 0, "{id} is joined with all that said hello before");
    }

    /// Apart from nodes that drain or are being killed, there is at most one for each slot, and `surge` more.
    fn never_more_than_slots_and_surge(&self) {
        let live = |state| matches!(state, State::Starting | State::Joining | State::Serving);
        let count = self.fleet.nodes.values().filter(|node| live(node.state)).count();
        let (slots, surge) = (self.fleet.slots.len(), self.fleet.policy.surge);
        // Nodes that a shutdown lets serve on keep whatever places they had.
        let ahead = match self.fleet.order {
            _ if self.shutdown_asked => surge,
            Some(Running::Reload(_)) => surge,
            Some(Running::Replace(_)) => surge.min(1), // one slot at a time
            Some(Running::Scale(_) | Running::Departure(_)) | None => 0,
        };
        assert!(count <= slots + ahead, "{count} nodes in {slots} slots with surge {surge}");
    }

    /// While nodes are replaced, and by the end, no fewer serve than at the start, less those that went by themselves.
    fn never_fewer_serving_for_a_replacement(&mut self, before: &BTreeSet<NodeId>, subject: Option<NodeId>, was: bool) {
        let serving = self.serving();
        if self.replaces() && !was {
            self.floor = Some(before.len());
        }
        let running = matches!(self.fleet.course, Course::Running);
        if let Some(floor) = self.floor.as_mut().filter(|_| running && self.fleet.policy.surge > 0) {
            let went = subject.is_some_and(|id| before.contains(&id) && !serving.contains(&id));
            *floor = floor.saturating_sub(usize::from(went));
            assert!(serving.len() >= *floor, "{} serve, and {floor} did at the start", serving.len());
        }
        if !self.replaces() {
            self.floor = None;
        }
    }

    fn each_state_has_a_deadline_or_a_process(&self) {
        for (id, node) in &self.fleet.nodes {
            let lives = node.state == State::Serving && self.alive.contains(id);
            assert!(node.deadline.is_some() || lives, "{id} is {} for ever", node.state);
        }
        let rests = self.fleet.slots.iter().filter_map(SlotRecord::rests_until);
        let due = self.fleet.nodes.values().filter_map(|node| node.deadline).chain(rests).min();
        assert!(due.is_none_or(|due| self.fleet.next_deadline().is_some_and(|next| next <= due)), "a missed deadline");
        for id in self.fleet.slots.iter().filter_map(SlotRecord::holder) {
            assert!(self.fleet.nodes.contains_key(&id), "a slot is held by {id}, which has ended");
        }
    }

    fn one_order_at_a_time(&self) {
        let open = self.answers.values().filter(|&&answers| answers == 0).count();
        match self.fleet.course {
            Course::Running => {
                let asked = self.fleet.order.as_ref().and_then(Running::ticket);
                assert_eq!(open, usize::from(asked.is_some()), "orders without an answer");
            }
            Course::Over => assert_eq!(open, 0, "orders are left without an answer"),
            Course::Unstarted | Course::Resolving | Course::Stopping(_) => {}
        }
    }

    /// One node at a time is paused, for a reload's trial; where that is over it serves as before, or goes.
    fn nobody_stays_paused(&self) {
        let serves = |id: &&NodeId| self.fleet.nodes.get(id).is_some_and(|node| node.state == State::Serving);
        let paused = self.paused.iter().filter(serves).count();
        let trial = matches!(&self.fleet.order, Some(Running::Reload(reload)) if reload.trial.watched().is_some());
        assert!(paused <= usize::from(trial), "{:?} take no connections", self.paused);
    }

    // What happens.

    pub(super) fn answer_resolve(&mut self, result: Result<(), String>) {
        if let Some(generation) = self.resolving.pop_front() {
            self.on(Event::Resolved { generation, result });
        }
    }

    pub(super) fn answer_rehearsal(&mut self, result: Result<(), String>) {
        if let Some(generation) = self.rehearsing.pop_front() {
            self.on(Event::Rehearsed { generation, result });
        }
    }

    /// The next program has taken over, or could not. The loop does nothing else meanwhile.
    fn end_departure(&mut self, succeeds: bool) {
        if !std::mem::take(&mut self.departing) {
            return;
        }
        if !succeeds {
            return self.on(Event::Stayed { why: String::from("no") });
        }
        let before = self.fleet.snapshot(self.now, SystemTime::UNIX_EPOCH);
        let (policy, saved) = (self.fleet.policy.clone(), self.fleet.save(self.now));
        self.fleet = Fleet::restore(policy, 7, saved.clone(), self.now, self.now);
        assert_eq!(self.fleet.save(self.now), saved, "what is saved again is what was restored");
        assert_eq!(self.fleet.snapshot(self.now, SystemTime::UNIX_EPOCH), before, "nobody sees a difference");
        // Whoever asked is gone.
        self.answers.values_mut().for_each(|answers| *answers = 1);
    }

    pub(super) fn answer_spawn(&mut self, result: Result<(), String>) {
        if let Some(id) = self.spawning.pop_front() {
            if result.is_ok() {
                self.alive.insert(id);
            }
            self.on(Event::Spawned { id, result: result.map(|()| 1000 + id.number() as u32) });
        }
    }

    pub(super) fn answer_examine(&mut self, traced: bool) {
        if let Some(id) = self.examining.pop_front() {
            self.on(Event::Examined { id, traced, report: String::from("asleep") });
        }
    }

    fn answer_look(&mut self) {
        let tallies = std::mem::take(&mut self.looking).into_iter().map(|id| (id, Tally::default()));
        let tallies: Vec<_> = tallies.collect();
        if !tallies.is_empty() {
            self.on(Event::Counted { tallies });
        }
    }

    /// The last look is answered, if one is waited for: one node has done so much, and the others nothing.
    pub(super) fn counted(&mut self, who: Index, requests: u64, errors: u64) {
        self.node_counted(self.anyone(who), requests, errors);
    }

    pub(super) fn node_counted(&mut self, counted: NodeId, requests: u64, errors: u64) {
        let nodes = std::mem::take(&mut self.looking);
        let tally = Tally { requests, errors, ..Tally::default() };
        let tally = |id| if id == counted { tally } else { Tally::default() };
        self.on(Event::Counted { tallies: nodes.into_iter().map(|id| (id, tally(id))).collect() });
    }

    pub(super) fn weighed(&mut self, who: Index, bytes: u64) {
        let id = self.anyone(who);
        self.on(Event::Weighed { id, bytes });
    }

    /// A node that lives or lived, or that never was.
    fn anyone(&self, who: Index) -> NodeId {
        match who.index(self.fleet.started as usize + 2) as u64 {
            0 => NodeId::MASTER,
            number => NodeId::node(number),
        }
    }

    pub(super) fn says(&mut self, who: Index, word: Word) {
        let id = self.anyone(who);
        if !self.spawning.contains(&id) {
            self.node_says(id, word);
        }
    }

    pub(super) fn node_says(&mut self, id: NodeId, word: Word) {
        let why = String::from("something");
        match word {
            Word::Hello => self.on(Event::Hello { id }),
            Word::Ready => self.on(Event::Ready { id }),
            Word::ComesUp => {
                self.on(Event::Hello { id });
                self.on(Event::Ready { id });
            }
            Word::Failed => self.on(Event::Failed { id, why }),
            Word::Beat => self.on(Event::Beat { id }),
            Word::Extended => self.on(Event::Extended { id, by: Duration::from_secs(3) }),
            Word::Leaving => self.on(Event::Leaving { id }),
            Word::Drained => self.on(Event::Drained { id, drained: Drained::default() }),
            Word::Broken => self.on(Event::Broken { id, why }),
            Word::Examined { traced } => self.on(Event::Examined { id, traced, report: why }),
            Word::Exits(exit) => {
                self.alive.remove(&id);
                self.on(Event::Exited { id, exit, tally: Some(Tally::default()) });
            }
        }
    }

    pub(super) fn due(&mut self) {
        if let Some(due) = self.fleet.next_deadline() {
            self.now = self.now.max(due);
            self.on(Event::Tick);
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.on(Event::Tick);
    }

    pub(super) fn late(&mut self, by: Duration) {
        self.now += by;
        self.on(Event::Late(by));
    }

    pub(super) fn jump(&mut self, by: Duration, ahead: bool) {
        let now = if ahead { self.now.checked_add(by) } else { self.now.checked_sub(by) };
        self.now = now.unwrap_or(self.now);
        self.on(Event::Tick);
    }

    pub(super) fn order(&mut self, order: Order) {
        let ticket = Ticket(self.answers.len() as u64);
        self.answers.insert(ticket, 0);
        self.on(Event::Asked { ticket, order });
        self.shutdown_asked |= matches!(order, Order::Shutdown { .. });
    }

    /// A world that means well brings the fleet to rest: it is over, or every slot serves that is to.
    pub(super) fn comes_to_rest(&mut self) {
        for _ in 0..1000 {
            if self.rests() {
                assert!(self.answers.values().all(|&answers| answers == 1), "{:?}", self.answers);
                assert_eq!(self.alive.len(), self.fleet.nodes.len(), "processes that nobody knows of");
                return;
            }
            self.mean_well();
        }
        panic!("the fleet does not come to rest: {:#?}", self.fleet);
    }

    pub(super) fn is_over(&self) {
        assert!(matches!(self.fleet.course, Course::Over) && self.finished == 1);
        assert_eq!(self.fleet.next_deadline(), None);
        assert_eq!(self.forgotten.len() as u64, self.fleet.started, "each node is forgotten");
    }

    fn mean_well(&mut self) {
        let seen = self.seen.len();
        self.answer_look();
        while !(self.resolving.is_empty()
            && self.rehearsing.is_empty()
            && self.spawning.is_empty()
            && self.examining.is_empty())
        {
            self.answer_resolve(Ok(()));
            self.answer_rehearsal(Ok(()));
            self.answer_spawn(Ok(()));
            self.answer_examine(true);
        }
        let nodes: Vec<_> = self.fleet.nodes.iter().map(|(&id, node)| (id, node.state, node.cause.is_some())).collect();
        for (id, state, failed) in nodes {
            match state {
                State::Starting | State::Joining if failed => self.node_says(id, Word::Exits(Exit::Code(1))),
                State::Starting => self.node_says(id, Word::ComesUp),
                State::Joining => self.node_says(id, Word::Ready),
                State::Draining => self.node_says(id, Word::Exits(Exit::Code(0))),
                State::Killing if self.signalled.contains(&id) => self.node_says(id, Word::Exits(Exit::Signal(9))),
                _ => self.node_says(id, Word::Beat),
            }
        }
        if self.seen.len() == seen {
            self.due();
        }
    }

    fn rests(&self) -> bool {
        let serves = |id| self.fleet.nodes.get(&id).is_some_and(|node| node.state == State::Serving);
        let filled = self.fleet.slots.iter().all(|slot| match slot.filled {
            Filled::By(id) => serves(id),
            Filled::Vacant => !self.fleet.policy.restart,
            Filled::Resting { .. } | Filled::GaveUp => false,
        });
        let holders = self.fleet.slots.iter().filter_map(SlotRecord::holder).count();
        let running = matches!(self.fleet.course, Course::Running) && filled && self.fleet.nodes.len() == holders;
        (running && self.fleet.order.is_none()) || matches!(self.fleet.course, Course::Over)
    }

    fn scales(&self) -> bool {
        matches!(self.fleet.order, Some(Running::Scale(_)))
    }

    fn replaces(&self) -> bool {
        matches!(self.fleet.order, Some(Running::Reload(_) | Running::Replace(_)))
    }

    fn serving(&self) -> BTreeSet<NodeId> {
        self.fleet.nodes.iter().filter(|(_, node)| node.state == State::Serving).map(|(&id, _)| id).collect()
    }
}

/// The node that the event tells of.
fn subject(event: &Event) -> Option<NodeId> {
    match *event {
        Event::Hello { id }
        | Event::Linked { id }
        | Event::Ready { id }
        | Event::Beat { id }
        | Event::Leaving { id }
        | Event::Spawned { id, .. }
        | Event::Failed { id, .. }
        | Event::Broken { id, .. }
        | Event::Extended { id, .. }
        | Event::Examined { id, .. }
        | Event::Drained { id, .. }
        | Event::Exited { id, .. } => Some(id),
        Event::Weighed { id, .. } => Some(id),
        Event::Start
        | Event::Tick
        | Event::Late(_)
        | Event::Resolved { .. }
        | Event::Rehearsed { .. }
        | Event::Stayed { .. }
        | Event::Asked { .. }
        | Event::Counted { .. } => None,
    }
}
