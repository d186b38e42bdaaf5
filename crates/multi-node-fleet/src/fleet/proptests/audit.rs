//! A world that checks after every event what must always be true.

mod moves;
mod rest;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub(super) use self::moves::Word;
use super::super::commands::Running;
use super::super::draining::Draining;
use super::super::{Action, Event, Fleet, FleetPhase, Policy, SlotRecord, Ticket};
use crate::command::Command;
use crate::id::{Generation, NodeId};
use crate::status::State;

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
    /// Who was granted the lease, and has neither returned it nor ended.
    leader: Option<NodeId>,
    joined: BTreeSet<(NodeId, NodeId)>,
    /// How often each command was answered.
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
            leader: None,
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
        let unproved = self.holders_before_the_verdict();
        let (scaling, to_scale) = (self.scales(), matches!(event, Event::Asked { command: Command::Scale { .. }, .. }));
        let actions = self.fleet.on(self.now, event);
        let refused = actions.iter().any(|action| matches!(action, Action::Answer { result: Err(_), .. }));
        let scaled = scaling || (to_scale && !refused);
        for action in &actions {
            self.take(action);
        }
        self.no_old_node_drains_before_the_verdict(&unproved, &actions);
        self.seen.extend(actions);
        self.never_more_than_slots_and_surge();
        match scaled {
            true => self.floor = self.replaces().then(|| self.serving().len()),
            false => self.never_fewer_serving_for_a_replacement(&before, subject, replaced),
        }
        self.each_state_has_a_deadline_or_a_process();
        self.one_command_at_a_time();
        self.nobody_stays_paused();
        self.end_departure(self.seen.len().is_multiple_of(2));
    }

    fn take(&mut self, action: &Action) {
        match action {
            Action::Resolve { generation } => self.resolving.push_back(*generation),
            Action::Preflight { generation } => self.rehearsing.push_back(*generation),
            Action::Exec { reload } => {
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
            Action::Settled { .. } => {}
            Action::Examine { id } => self.examining.push_back(*id),
            Action::Signal { id, .. } => {
                assert!(self.alive.contains(id), "{id} is signalled without a process");
                self.signalled.insert(*id);
            }
            Action::Forward { id, .. } => assert!(self.alive.contains(id), "{id} is signalled without a process"),
            Action::GrantLease(claim) => self.one_leader_that_serves(claim.id),
            Action::Forget { id } => {
                assert!(!self.alive.contains(id), "{id} lives and is forgotten");
                assert!(self.forgotten.insert(*id), "{id} is forgotten twice");
            }
            Action::Answer { ticket, .. } => {
                let answers = self.answers.get_mut(ticket).expect("an answer to a command");
                *answers += 1;
                assert_eq!(*answers, 1, "{ticket:?} is answered twice");
            }
            Action::Tell(event) => assert!(!event.text.is_empty()),
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

    fn one_leader_that_serves(&mut self, id: NodeId) {
        assert_eq!(self.leader, None, "{id} leads too");
        assert_eq!(self.fleet.nodes.get(&id).map(|node| node.state), Some(State::Serving), "{id} leads");
        self.leader = Some(id);
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
        let live = |state| matches!(state, State::Starting | State::Initializing | State::Serving);
        let count = self.fleet.nodes.values().filter(|node| live(node.state)).count();
        let (slots, policy) = (self.fleet.slots.len(), &self.fleet.policy);
        let in_reload = if policy.rolling { policy.surge } else { slots };
        // Nodes that a shutdown lets serve on keep whatever places they had.
        let ahead = match self.fleet.command {
            _ if self.shutdown_asked => in_reload,
            Some(Running::Reload(_)) => in_reload,
            Some(Running::Replace(_)) => in_reload.min(1), // one slot at a time
            Some(Running::Scale(_) | Running::ExecRequest(_)) | None => 0,
        };
        assert!(count <= slots + ahead, "{count} nodes in {slots} slots, and {ahead} ahead");
    }

    /// During and after a replacement no fewer nodes serve than at its start, except for nodes that left on their own
    /// initiative.
    fn never_fewer_serving_for_a_replacement(&mut self, before: &BTreeSet<NodeId>, subject: Option<NodeId>, was: bool) {
        let serving = self.serving();
        if self.replaces() && !was {
            self.floor = Some(before.len());
        }
        let running = matches!(self.fleet.course, FleetPhase::Running);
        if let Some(floor) = self.floor.as_mut().filter(|_| running && self.fleet.policy.surge > 0) {
            let went = subject.is_some_and(|id| before.contains(&id) && !serving.contains(&id));
            *floor = floor.saturating_sub(usize::from(went));
            assert!(serving.len() >= *floor, "{} serve, and {floor} did at the start", serving.len());
        }
        if !self.replaces() {
            self.floor = None;
        }
    }

    /// The nodes of all slots, where a reload is under way whose new nodes have to prove themselves all together.
    fn holders_before_the_verdict(&self) -> BTreeSet<NodeId> {
        let together = matches!(&self.fleet.command, Some(Running::Reload(reload)) if !reload.all_switched());
        let holders = self.fleet.slots.iter().filter_map(SlotRecord::holder);
        holders.filter(|_| together && !self.fleet.policy.rolling).collect()
    }

    /// An old node drains only if the program ends, or if a new node in each slot has proved itself.
    fn no_old_node_drains_before_the_verdict(&self, holders: &BTreeSet<NodeId>, actions: &[Action]) {
        let drained = |action: &&Action| matches!(action, Action::Drain { id, .. } if holders.contains(id));
        if !matches!(self.fleet.course, FleetPhase::Running) || !actions.iter().any(|action| drained(&action)) {
            return;
        }
        for slot in &self.fleet.slots {
            let node = slot.holder().and_then(|id| self.fleet.nodes.get(&id)).expect("each slot has a node");
            assert!(node.state == State::Serving && node.generation == self.fleet.newest, "{node:?}");
            assert!(node.proved_at.is_some_and(|at| at <= self.now), "{node:?} at {:?}", self.now);
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

    fn one_command_at_a_time(&self) {
        let open = self.answers.values().filter(|&&answers| answers == 0).count();
        match self.fleet.course {
            FleetPhase::Running => {
                let asked = self.fleet.command.as_ref().and_then(Running::ticket).into_iter();
                let drain = self.fleet.draining.iter().filter_map(Draining::ticket);
                let waits = self.fleet.next.map(|next| next.ticket);
                assert_eq!(open, asked.chain(drain).chain(waits).count(), "commands without an answer");
            }
            FleetPhase::Over => assert_eq!(open, 0, "commands are left without an answer"),
            FleetPhase::Unstarted | FleetPhase::Resolving | FleetPhase::Stopping(_) => {}
        }
    }

    /// One node at a time is paused, for a reload's trial; where that is over it serves as before, or goes.
    fn nobody_stays_paused(&self) {
        let serves = |id: &&NodeId| self.fleet.nodes.get(id).is_some_and(|node| node.state == State::Serving);
        let paused = self.paused.iter().filter(serves).count();
        let trial = matches!(&self.fleet.command, Some(Running::Reload(reload)) if reload.trial.watched().is_some());
        assert!(paused <= usize::from(trial), "{:?} take no connections", self.paused);
    }

    fn scales(&self) -> bool {
        matches!(self.fleet.command, Some(Running::Scale(_)))
    }

    fn replaces(&self) -> bool {
        matches!(self.fleet.command, Some(Running::Reload(_) | Running::Replace(_)))
    }

    fn serving(&self) -> BTreeSet<NodeId> {
        self.fleet.nodes.iter().filter(|(_, node)| node.state == State::Serving).map(|(&id, _)| id).collect()
    }
}

/// The node that the event is about.
fn subject(event: &Event) -> Option<NodeId> {
    match *event {
        Event::Hello { id }
        | Event::Linked { id }
        | Event::Runs { id, .. }
        | Event::Ready { id }
        | Event::Unready { id, .. }
        | Event::Hopeless { id, .. }
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
        Event::SeeksLease { claim, .. } | Event::ReturnsLease(claim) => Some(claim.id),
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
