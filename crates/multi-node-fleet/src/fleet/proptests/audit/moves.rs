//! What happens: the world answers, nodes speak and end, time passes, and people give commands.

use std::time::{Duration, SystemTime};

use proptest::prelude::prop::sample::Index;

use super::super::super::{Event, Fleet, Tally, Ticket};
use super::Audit;
use crate::command::Command;
use crate::id::NodeId;
use crate::leases::Claim;
use crate::status::Drained;
use crate::status::Exit;

/// What a node says or does.
#[derive(Clone, Copy, Debug)]
pub(in crate::fleet::proptests) enum Word {
    Hello,
    Ready,
    Unready,
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
    SeeksLease,
    ReturnsLease,
    Exits(Exit),
}

/// How often the loop has something to do at once, before it waits again.
const MOST_TURNS: usize = 100;

impl Audit {
    pub(in crate::fleet::proptests) fn answer_resolve(&mut self, result: Result<(), String>) {
        if let Some(generation) = self.resolving.pop_front() {
            self.on(Event::Resolved { generation, result });
        }
    }

    pub(in crate::fleet::proptests) fn answer_preflight(&mut self, result: Result<(), String>) {
        if let Some(generation) = self.rehearsing.pop_front() {
            self.on(Event::Rehearsed { generation, result });
        }
    }

    /// The next program has taken over, or could not. The loop does nothing else meanwhile.
    pub(super) fn end_departure(&mut self, succeeds: bool) {
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
        let open = self.answers.values().filter(|&&answers| answers == 0).count();
        assert_eq!(open, 1, "all others were answered before");
        // The clients that waited for answers are gone.
        self.answers.values_mut().for_each(|answers| *answers = 1);
    }

    pub(in crate::fleet::proptests) fn answer_spawn(&mut self, result: Result<(), String>) {
        if let Some(id) = self.spawning.pop_front() {
            if result.is_ok() {
                self.alive.insert(id);
            }
            self.on(Event::Spawned { id, result: result.map(|()| 1000 + id.number() as u32) });
        }
    }

    pub(in crate::fleet::proptests) fn answer_examine(&mut self, traced: bool) {
        if let Some(id) = self.examining.pop_front() {
            self.on(Event::Examined { id, traced, report: String::from("asleep") });
        }
    }

    pub(super) fn answer_look(&mut self) {
        let tallies = std::mem::take(&mut self.looking).into_iter().map(|id| (id, Tally::default()));
        let tallies: Vec<_> = tallies.collect();
        if !tallies.is_empty() {
            self.on(Event::Counted { tallies });
        }
    }

    /// The last look is answered, if one is waited for: one node has done so much, and the others nothing.
    pub(in crate::fleet::proptests) fn counted(&mut self, who: Index, requests: u64, errors: u64) {
        self.node_counted(self.anyone(who), requests, errors);
    }

    pub(in crate::fleet::proptests) fn node_counted(&mut self, counted: NodeId, requests: u64, errors: u64) {
        let nodes = std::mem::take(&mut self.looking);
        let tally = Tally { requests, errors, ..Tally::default() };
        let tally = |id| if id == counted { tally } else { Tally::default() };
        self.on(Event::Counted { tallies: nodes.into_iter().map(|id| (id, tally(id))).collect() });
    }

    pub(in crate::fleet::proptests) fn weighed(&mut self, who: Index, bytes: u64) {
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

    pub(in crate::fleet::proptests) fn says(&mut self, who: Index, word: Word) {
        let id = self.anyone(who);
        if !self.spawning.contains(&id) {
            self.node_says(id, word);
        }
    }

    pub(in crate::fleet::proptests) fn node_says(&mut self, id: NodeId, word: Word) {
        let why = String::from("something");
        match word {
            Word::Hello => self.on(Event::Hello { id }),
            Word::Ready => self.on(Event::Ready { id }),
            Word::Unready => self.on(Event::Unready { id, why }),
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
            Word::SeeksLease => {
                self.on(Event::SeeksLease { name: String::from("cron"), claim: Claim { id, ticket: 1 } });
            }
            Word::ReturnsLease => {
                self.leader = self.leader.filter(|leader| *leader != id);
                self.on(Event::ReturnsLease(Claim { id, ticket: 1 }));
            }
            Word::Exits(exit) => {
                self.alive.remove(&id);
                self.leader = self.leader.filter(|leader| *leader != id);
                self.on(Event::Exited { id, exit, tally: Some(Tally::default()) });
            }
        }
    }

    pub(in crate::fleet::proptests) fn due(&mut self) {
        if let Some(due) = self.fleet.next_deadline() {
            self.now = self.now.max(due);
            self.on(Event::Tick);
        }
    }

    pub(in crate::fleet::proptests) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.on(Event::Tick);
    }

    /// The master stands still. Then it does what is due, as its loop does, and waits again.
    pub(in crate::fleet::proptests) fn stall(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..MOST_TURNS {
            let Some(due) = self.fleet.next_deadline().filter(|due| *due <= self.now) else { return };
            self.on(Event::overdue(self.now - due));
        }
        panic!("a deadline that has passed stays, so the loop never waits");
    }

    pub(in crate::fleet::proptests) fn jump(&mut self, by: Duration, ahead: bool) {
        let now = if ahead { self.now.checked_add(by) } else { self.now.checked_sub(by) };
        self.now = now.unwrap_or(self.now);
        self.on(Event::Tick);
    }

    pub(in crate::fleet::proptests) fn command(&mut self, command: Command) {
        let ticket = Ticket(self.answers.len() as u64);
        self.answers.insert(ticket, 0);
        self.on(Event::Asked { ticket, command });
        self.shutdown_asked |= matches!(command, Command::Shutdown { .. });
    }
}
