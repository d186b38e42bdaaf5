//! Canary: the first new node of a reload serves on trial beside the old ones, before any other follows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::format::Span;
use super::reload::Reload;
use super::verdict::{self, Limits};
use super::{Action, Fleet, Level, Node, Tally, after};
use crate::command::{CanaryReport, RequestCounts};
use crate::id::NodeId;
use crate::status::State;

/// How long the trial takes, and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Canary {
    pub duration: Duration,
    pub limits: Limits,
}

/// How far the trial of a reload's first new node is.
#[derive(Debug)]
pub(super) enum Trial {
    /// It is not ready yet, or the reload has no canary.
    Ahead,
    Running(Watched),
    Passed(CanaryReport),
}

/// A node on trial.
#[derive(Debug)]
pub(super) struct Watched {
    new: NodeId,
    /// The node of its slot that takes no new connections meanwhile.
    paused: Option<NodeId>,
    since: Instant,
    until: Instant,
    /// What everybody had done when it began; empty until that has been counted.
    before: BTreeMap<NodeId, Tally>,
}

/// What the trial says now.
enum Finding {
    Undecided,
    Passes(CanaryReport),
    Fails(String),
}

impl Trial {
    pub(super) fn report(&self) -> Option<CanaryReport> {
        match self {
            Trial::Passed(report) => Some(report.clone()),
            Trial::Ahead | Trial::Running(_) => None,
        }
    }

    pub(super) fn watched(&self) -> Option<&Watched> {
        match self {
            Trial::Running(watched) => Some(watched),
            Trial::Ahead | Trial::Passed(_) => None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Trial::Passed(_))
    }

    /// The master did not run for so long.
    pub(super) fn shift(&mut self, by: Duration) {
        if let Trial::Running(watched) = self {
            watched.until = after(watched.until, by);
        }
    }
}

impl Watched {
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl Fleet {
    /// Whether a node that has just become ready has to serve on trial.
    pub fn tries(&self, id: NodeId) -> bool {
        self.policy.canary.is_some()
            && self.reload().is_some_and(|reload| reload.first_is(id) && !reload.trial.is_over())
    }

    /// Takes the trial as far as it can be taken. `Err`: it has failed.
    pub(super) fn advance_trial(&mut self, now: Instant, reload: &mut Reload) -> Result<(), String> {
        let Some(canary) = self.policy.canary else {
            return Ok(());
        };
        match &mut reload.trial {
            Trial::Ahead => self.begin_trial(now, reload, canary.duration),
            Trial::Running(watched) => match self.finding(now, watched, &canary.limits) {
                Finding::Undecided => {}
                Finding::Fails(why) => return Err(why),
                Finding::Passes(report) => {
                    self.tell_all(Level::Info, format!("the reload goes on: {report}"));
                    self.act(Action::Resume { id: report.node });
                    if !self.policy.rolling {
                        // Its slot's old node serves until all have proved themselves.
                        self.end_trial(reload);
                    }
                    reload.trial = Trial::Passed(report);
                }
            },
            Trial::Passed(_) => {}
        }
        Ok(())
    }

    fn begin_trial(&mut self, now: Instant, reload: &mut Reload, duration: Duration) {
        let serves = |id: &NodeId| self.nodes.get(id).is_some_and(|node| node.state == State::Serving);
        let Some((new, old)) = reload.first().filter(|(new, _)| serves(new)) else {
            return;
        };
        let paused = old.filter(serves);
        if let Some(id) = paused {
            self.act(Action::Pause { id });
        }
        let slot = self.nodes[&new].slot;
        self.tell(Level::Info, slot, new, format!("serves on trial for {}", Span(duration)));
        let (until, before) = (after(now, duration), BTreeMap::new());
        reload.trial = Trial::Running(Watched { new, paused, since: now, until, before });
        self.look_now(now);
    }

    /// The old node takes connections again, whatever becomes of the new one.
    pub(super) fn end_trial(&mut self, reload: &Reload) {
        let serves = |id: &NodeId| self.nodes.get(id).is_some_and(|node| node.state == State::Serving);
        if let Some(id) = reload.trial.watched().and_then(|watched| watched.paused).filter(serves) {
            self.act(Action::Resume { id });
        }
    }

    fn finding(&self, now: Instant, watched: &mut Watched, limits: &Limits) -> Finding {
        let Some(node) = self.nodes.get(&watched.new).filter(|node| node.state == State::Serving) else {
            return Finding::Fails(self.why_ended(watched.new));
        };
        let Some(looked) = self.sampled_at.filter(|&looked| looked >= watched.since) else {
            return Finding::Undecided;
        };
        if watched.before.is_empty() {
            watched.before = self.nodes.iter().map(|(&id, node)| (id, node.tally.unwrap_or_default())).collect();
        }
        let (new, old) = self.answers(watched, limits);
        if let Some(why) = verdict::against(watched.new, new, old, limits) {
            return Finding::Fails(why);
        }
        if looked < watched.until || self.may_hang(looked, node) {
            return Finding::Undecided;
        }
        let by_answers = new.requests >= limits.min_requests;
        let time = now.saturating_duration_since(watched.since);
        Finding::Passes(CanaryReport { node: watched.new, watched: time, new, old, by_answers })
    }

    fn why_ended(&self, id: NodeId) -> String {
        match self.nodes.get(&id) {
            Some(node) => {
                let cause = node.cause.as_deref().unwrap_or("it left by itself");
                format!("{id} in slot {} did not stand its trial: {cause}", node.slot)
            }
            None => self.last_death.clone(),
        }
    }

    /// What the new node has answered since the trial began, and the old ones; where those have answered too little for a
    /// comparison, all since their start.
    fn answers(&self, watched: &Watched, limits: &Limits) -> (RequestCounts, RequestCounts) {
        let since = |id: &NodeId| {
            let (tally, before) = (self.nodes.get(id)?.tally?, watched.before.get(id)?);
            Some(tally.answers().less(before.answers()))
        };
        let new = since(&watched.new).unwrap_or_default();
        let old = || watched.before.keys().filter(|id| **id != watched.new);
        let in_window: RequestCounts = old().filter_map(since).sum();
        if in_window.requests >= limits.min_requests {
            return (new, in_window);
        }
        (new, old().filter_map(|id| Some(self.nodes.get(id)?.tally?.answers())).sum())
    }

    /// Whether the node should have given a sign of life by now. It is no verdict, but a reason to wait for one.
    pub(super) fn may_hang(&self, now: Instant, node: &Node) -> bool {
        let silent = now.saturating_duration_since(node.heard);
        node.beats && self.policy.hang_timeout.is_some_and(|timeout| silent > timeout / 2 + SLACK)
    }
}

/// How much later than it was asked to a node may give its sign of life: its pulse, and time on the way.
const SLACK: Duration = Duration::from_secs(1);

impl Tally {
    fn answers(self) -> RequestCounts {
        // An error counts from its head on, while its body may still be under way.
        let requests = self.requests.saturating_sub(self.unanswered).max(self.errors);
        RequestCounts { requests, errors: self.errors }
    }
}

impl RequestCounts {
    fn less(self, before: RequestCounts) -> RequestCounts {
        RequestCounts {
            requests: self.requests.saturating_sub(before.requests),
            errors: self.errors.saturating_sub(before.errors),
        }
    }
}

impl std::iter::Sum for RequestCounts {
    fn sum<I: Iterator<Item = RequestCounts>>(all: I) -> RequestCounts {
        all.fold(RequestCounts::default(), |sum, each| RequestCounts {
            requests: sum.requests.saturating_add(each.requests),
            errors: sum.errors.saturating_add(each.errors),
        })
    }
}
