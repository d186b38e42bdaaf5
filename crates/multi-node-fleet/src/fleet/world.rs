//! A fake world for the rules: it looks up programs and starts processes, and the tests tell it the rest.

use std::time::{Duration, Instant, SystemTime};

use super::{Action, Event, Fatal, Fleet, Level, Policy, Tally, Ticket};
use crate::command::{Command, CommandError, Replacement, Report};
use crate::id::{Generation, NodeId, Slot};
use crate::status::{Drained, Exit, State, Waiting};

pub(super) const KILLED: Exit = Exit::Signal(9);

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn policy(nodes: usize) -> Policy {
    Policy::of_tests(nodes)
}

/// How it is reported that a node took another's place, of which nothing but that it cut nothing is known.
pub(super) fn replacement(slot: u16, (old, new): (u64, u64), to_ready: Duration, drain: Duration) -> Replacement {
    Replacement {
        slot: Slot(slot),
        old: Some(NodeId::node(old)),
        new: NodeId::node(new),
        to_ready,
        drain,
        killed: false,
        finished: None,
        handed_off: None,
        kept: None,
        kept_closed: None,
        aborted: Some(0),
        requests_failed: Some(0),
    }
}

pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) now: Instant,
    /// Whether processes can be started.
    pub(super) spawns: Result<(), String>,
    /// Whether programs can be found.
    pub(super) resolves: Result<(), String>,
    /// Whether serving and draining nodes give signs of life while time passes.
    pub(super) beats: bool,
    /// What was done since it was last looked at.
    pub(super) done: Vec<Action>,
    tickets: u64,
}

impl World {
    /// Nothing has happened yet.
    pub(super) fn unborn(policy: Policy) -> World {
        World {
            fleet: Fleet::new(policy, 1),
            now: Instant::now(),
            spawns: Ok(()),
            resolves: Ok(()),
            beats: true,
            done: Vec::new(),
            tickets: 0,
        }
    }

    /// The first nodes are starting.
    pub(super) fn started(policy: Policy) -> World {
        let mut world = World::unborn(policy);
        world.on(Event::Start);
        world
    }

    /// The first nodes serve.
    pub(super) fn serving(policy: Policy) -> World {
        let nodes = policy.nodes as u64;
        let mut world = World::started(policy);
        (1..=nodes).for_each(|n| world.up(n));
        world.done.clear();
        world
    }

    /// Feeds the event and whatever the world itself has to say to the actions that follow.
    pub(super) fn on(&mut self, event: Event) {
        let mut unread = self.fleet.on(self.now, event);
        while !unread.is_empty() {
            let replies: Vec<Event> = unread.iter().filter_map(|action| self.reply(action)).collect();
            self.done.append(&mut unread);
            unread = replies.into_iter().flat_map(|reply| self.fleet.on(self.now, reply)).collect();
        }
    }

    fn reply(&self, action: &Action) -> Option<Event> {
        match *action {
            Action::Resolve { generation } => Some(Event::Resolved { generation, result: self.resolves.clone() }),
            Action::Spawn { id, .. } => {
                let pid = 1000 + id.number() as u32;
                Some(Event::Spawned { id, result: self.spawns.clone().map(|()| pid) })
            }
            _ => None,
        }
    }

    /// Lets time pass, ticking whenever the rules asked to be ticked.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.fleet.next_deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.beat_all();
            self.on(Event::Tick);
        }
        self.now = end;
        self.beat_all();
    }

    pub(super) fn beat_all(&mut self) {
        let alive: Vec<NodeId> =
            self.fleet.nodes.iter().filter(|(_, node)| self.beats && node.is_watched()).map(|(&id, _)| id).collect();
        alive.into_iter().for_each(|id| self.on(Event::Beat { id }));
    }

    pub(super) fn hello(&mut self, n: u64) {
        self.on(Event::Hello { id: NodeId::node(n) });
    }

    pub(super) fn ready(&mut self, n: u64) {
        self.on(Event::Ready { id: NodeId::node(n) });
    }

    pub(super) fn up(&mut self, n: u64) {
        self.hello(n);
        self.ready(n);
    }

    pub(super) fn failed(&mut self, n: u64, why: &str) {
        self.on(Event::Failed { id: NodeId::node(n), why: why.to_owned() });
    }

    pub(super) fn hopeless(&mut self, n: u64, why: &str) {
        self.on(Event::Hopeless { id: NodeId::node(n), why: why.to_owned() });
    }

    pub(super) fn leaving(&mut self, n: u64) {
        self.on(Event::Leaving { id: NodeId::node(n) });
    }

    /// A sample finds these numbers of begun and failed requests of these nodes.
    pub(super) fn counts(&mut self, tallies: &[(u64, u64, u64)]) {
        let tally = |&(n, requests, errors)| (NodeId::node(n), Tally { requests, errors, ..Tally::default() });
        self.on(Event::Counted { tallies: tallies.iter().map(tally).collect() });
    }

    pub(super) fn examined(&mut self, n: u64, traced: bool) {
        self.on(Event::Examined { id: NodeId::node(n), traced, report: String::from("main waits in futex") });
    }

    pub(super) fn exit(&mut self, n: u64, exit: Exit) {
        self.exit_with(n, exit, Tally::default());
    }

    pub(super) fn exit_with(&mut self, n: u64, exit: Exit, tally: Tally) {
        self.on(Event::Exited { id: NodeId::node(n), exit, tally: Some(tally) });
    }

    pub(super) fn said_drained(&mut self, n: u64, drained: Drained) {
        self.on(Event::Drained { id: NodeId::node(n), drained });
    }

    /// The ticket that will bear the answer.
    pub(super) fn ask(&mut self, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.on(Event::Asked { ticket, command });
        ticket
    }

    pub(super) fn reload(&mut self) -> Ticket {
        self.ask(Command::Reload)
    }

    pub(super) fn reload_now(&mut self) -> Ticket {
        self.ask(Command::ReloadNow)
    }

    pub(super) fn upgrade(&mut self) -> Ticket {
        self.ask(Command::Upgrade)
    }

    /// The trial of the program of this generation is over.
    pub(super) fn preflighted(&mut self, generation: u32, result: Result<(), String>) {
        self.on(Event::Rehearsed { generation: Generation(generation), result });
    }

    pub(super) fn restart(&mut self, slot: u16) -> Ticket {
        self.ask(Command::Restart { slot: slot.into() })
    }

    pub(super) fn scale(&mut self, nodes: usize) -> Ticket {
        self.ask(Command::Scale { nodes })
    }

    pub(super) fn shutdown(&mut self, now: bool) -> Ticket {
        self.ask(Command::Shutdown { now })
    }

    /// The states of these nodes; `Empty` for one that is not known.
    pub(super) fn states<const N: usize>(&self, nodes: [u64; N]) -> [State; N] {
        nodes.map(|n| self.fleet.nodes.get(&NodeId::node(n)).map_or(State::Empty, |node| node.state))
    }

    /// The numbers of all nodes in this state.
    pub(super) fn all(&self, state: State) -> Vec<u64> {
        self.fleet.nodes.iter().filter(|(_, node)| node.state == state).map(|(id, _)| id.number()).collect()
    }

    /// Each slot's state, id and generation, as people see it.
    pub(super) fn status(&self) -> Vec<(usize, State, u64, u32)> {
        let status = self.fleet.snapshot(self.now, SystemTime::UNIX_EPOCH + secs(1_000_000));
        let number = |id: Option<NodeId>| id.map_or(0, NodeId::number);
        status.slots.iter().map(|s| (s.slot.index(), s.state, number(s.id), s.generation.number())).collect()
    }

    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.fleet.snapshot(self.now, SystemTime::UNIX_EPOCH).waiting
    }

    pub(super) fn restarts(&self) -> Vec<u64> {
        self.fleet.slots.iter().map(|slot| slot.restarts).collect()
    }

    /// The nodes that were started since one last looked.
    pub(super) fn spawned(&mut self) -> Vec<u64> {
        self.take(|action| match action {
            Action::Spawn { id, .. } => Some(id.number()),
            _ => None,
        })
    }

    pub(super) fn drained(&mut self) -> Vec<u64> {
        self.take(|action| match action {
            Action::Drain { id, .. } => Some(id.number()),
            _ => None,
        })
    }

    pub(super) fn paused(&mut self) -> Vec<u64> {
        self.take(|action| match action {
            Action::Pause { id } => Some(id.number()),
            _ => None,
        })
    }

    pub(super) fn resumed(&mut self) -> Vec<u64> {
        self.take(|action| match action {
            Action::Resume { id } => Some(id.number()),
            _ => None,
        })
    }

    pub(super) fn signals(&mut self) -> Vec<(u64, Fatal)> {
        self.take(|action| match *action {
            Action::Signal { id, signal } => Some((id.number(), signal)),
            _ => None,
        })
    }

    pub(super) fn examinations(&mut self) -> Vec<u64> {
        self.take(|action| match action {
            Action::Examine { id } => Some(id.number()),
            _ => None,
        })
    }

    /// Which nodes were looked at, and whether at their memory too.
    pub(super) fn sampling(&mut self) -> Vec<(Vec<u64>, bool)> {
        self.take(|action| match action {
            Action::Look { nodes, weigh } => Some((nodes.iter().map(|id| id.number()).collect(), *weigh)),
            _ => None,
        })
    }

    pub(super) fn joins(&mut self) -> Vec<(u64, Vec<u64>)> {
        self.take(|action| match action {
            Action::Join { id, with } => Some((id.number(), with.iter().map(|id| id.number()).collect())),
            _ => None,
        })
    }

    pub(super) fn answers(&mut self) -> Vec<(Ticket, Result<Report, CommandError>)> {
        self.take(|action| match action {
            Action::Answer { ticket, result } => Some((*ticket, result.clone())),
            _ => None,
        })
    }

    /// The one answer there is, which must be to this ticket.
    pub(super) fn answer_to(&mut self, ticket: Ticket) -> Result<Report, CommandError> {
        let answers = self.answers();
        assert!(matches!(answers[..], [(to, _)] if to == ticket), "one answer to {ticket:?}, not {answers:?}");
        answers.into_iter().next().expect("one answer").1
    }

    pub(super) fn failure_of(&mut self, ticket: Ticket) -> String {
        match self.answer_to(ticket) {
            Err(CommandError::Failed { why, .. }) => why,
            other => panic!("{ticket:?} was to fail, but {other:?}"),
        }
    }

    pub(super) fn finished(&mut self) -> Vec<Result<(), String>> {
        self.take(|action| match action {
            Action::Finish(outcome) => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Asserts that a line of this level with this text was logged, since the log was last cleared.
    pub(super) fn said(&self, level: Level, text: &str) {
        let lines: Vec<_> = self
            .done
            .iter()
            .filter_map(|action| match action {
                Action::Tell(event) => Some((event.level, &event.text)),
                _ => None,
            })
            .collect();
        assert!(
            lines.iter().any(|(l, line)| *l == level && line.contains(text)),
            "no {level:?} {text:?} in {lines:#?}"
        );
    }

    /// Takes the actions of one kind out of what was done.
    fn take<T>(&mut self, kind: impl Fn(&Action) -> Option<T>) -> Vec<T> {
        let taken = self.done.iter().filter_map(&kind).collect();
        self.done.retain(|action| kind(action).is_none());
        taken
    }
}
