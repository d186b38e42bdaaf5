//! Orders: one at a time, each answered exactly once.

use std::time::Instant;

use super::ledger::{Draining, Next};
use super::reload::Reload;
use super::replace::{Cause, Replace};
use super::scale::Scale;
use super::turn::Turn;
use super::upgrade::Departure;
use super::{Course, Fleet, Level, MAX_SLOTS, Ticket};
use crate::id::NodeId;
use crate::order::{Order, OrderError};

/// The order that is being carried out.
#[derive(Debug)]
pub(super) enum Running {
    Reload(Reload),
    Replace(Replace),
    Scale(Scale),
    Departure(Departure),
}

impl Running {
    fn name(&self) -> &'static str {
        match self {
            Running::Reload(reload) => reload.name(),
            Running::Replace(replace) => replace.name(),
            Running::Scale(_) => "scale",
            Running::Departure(_) => "upgrade",
        }
    }

    /// Whom the answer is for; nobody ordered a recycling.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Running::Reload(reload) => Some(reload.ticket),
            Running::Replace(replace) => replace.ticket(),
            Running::Scale(scale) => Some(scale.ticket),
            Running::Departure(departure) => Some(departure.ticket),
        }
    }
}

/// Which running order fails if a certain node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dependent {
    Reload,
    Replace,
    Scale,
    Nothing,
}

impl Fleet {
    pub(super) fn asked(&mut self, now: Instant, ticket: Ticket, order: Order) {
        if let Order::Shutdown { now: at_once } = order {
            return self.asked_shutdown(now, ticket, at_once);
        }
        if let Order::Signal { slot, signal } = order {
            return self.asked_signal(ticket, slot, signal);
        }
        if let Err(refusal) = self.admit(order) {
            return self.answer(ticket, Err(refusal));
        }
        self.put_off_recycling(now);
        match order {
            Order::Reload => self.asked_reload(now, Next { ticket, upgrade: false, now: false }),
            Order::ReloadNow => self.asked_reload(now, Next { ticket, upgrade: false, now: true }),
            Order::Upgrade => self.asked_reload(now, Next { ticket, upgrade: true, now: false }),
            Order::Restart { slot } => {
                self.tell_all(Level::Info, format!("slot {slot} is restarted"));
                self.begin_replace(now, slot, Cause::Asked(ticket));
            }
            Order::Scale { nodes } => self.begin_scale(now, ticket, nodes),
            Order::Shutdown { .. } | Order::Signal { .. } => {}
        }
    }

    fn admit(&self, order: Order) -> Result<(), OrderError> {
        let max = self.policy.max_nodes.min(MAX_SLOTS);
        match (&self.course, order) {
            (Course::Stopping(_) | Course::Over, _) => Err(OrderError::ShuttingDown),
            (_, Order::Scale { nodes }) if nodes == 0 || nodes > max => {
                Err(OrderError::OutOfRange { asked: nodes, max })
            }
            (_, Order::Scale { nodes }) if nodes > self.policy.room_for => {
                Err(OrderError::OpenFiles { asked: nodes, max: self.policy.room_for })
            }
            (_, Order::Restart { slot }) if slot.index() >= self.slots.len() => {
                Err(OrderError::NoSuchSlot { slot, slots: self.slots.len() })
            }
            (Course::Unstarted | Course::Resolving, _) => Err(OrderError::Busy { running: String::from("start") }),
            (Course::Running, _) => match self.hinders(order) {
                Some(running) => Err(OrderError::Busy { running: running.to_owned() }),
                None => Ok(()),
            },
        }
    }

    /// What has to end before this order may be given. A reload that comes during another one waits.
    fn hinders(&self, order: Order) -> Option<&'static str> {
        let reloads = matches!(order, Order::Reload | Order::ReloadNow | Order::Upgrade);
        match (&self.order, order) {
            _ if reloads && self.next.is_some_and(|next| next.upgrade) => Some("upgrade"),
            (Some(Running::Reload(reload)), _) if reloads && !reload.upgrade => None,
            (Some(running), _) if running.ticket().is_some() => Some(running.name()),
            (_, Order::Restart { slot }) if self.drains_restarted(slot) => Some("restart"),
            _ => None,
        }
    }

    /// Takes the running order as far as the nodes' states allow.
    pub(super) fn advance_order(&mut self, now: Instant) {
        self.answer_drained(now);
        match self.order.take() {
            Some(Running::Reload(reload)) => self.advance_reload(now, reload),
            Some(Running::Replace(replace)) => self.advance_replace(now, replace),
            Some(Running::Scale(scale)) => self.advance_scale(scale),
            // What follows comes from the loop.
            other @ (Some(Running::Departure(_)) | None) => self.order = other,
        }
        self.answer_drained(now);
        self.begin_next(now);
    }

    /// Whether the node is a new one that has to prove itself before it gets its slot.
    pub fn has_to_prove_itself(&self, id: NodeId) -> bool {
        let unproved = |turn: &Turn| turn.unproved() == Some(id);
        match &self.order {
            Some(Running::Reload(reload)) => reload.turns.iter().any(unproved),
            Some(Running::Replace(replace)) => unproved(&replace.turn),
            Some(Running::Scale(_) | Running::Departure(_)) | None => false,
        }
    }

    pub(super) fn dependent_on(&self, id: NodeId) -> Dependent {
        match &self.order {
            Some(Running::Reload(reload)) if reload.stands_on(id) => Dependent::Reload,
            Some(Running::Replace(replace)) if replace.stands_on(id) => Dependent::Replace,
            Some(Running::Scale(scale)) if scale.started(id) => Dependent::Scale,
            _ => Dependent::Nothing,
        }
    }

    /// The node is dead, or as good as dead: the order that stands on it has failed.
    pub(super) fn fail_order_of(&mut self, now: Instant, id: NodeId, why: String) {
        if self.dependent_on(id) == Dependent::Nothing {
            return;
        }
        match self.order.take() {
            Some(Running::Reload(reload)) => self.stop_reload(now, &reload, why),
            Some(Running::Replace(replace)) => self.stop_replace(now, &replace, why),
            Some(Running::Scale(scale)) => self.undo_scale(now, &scale, why),
            other @ (Some(Running::Departure(_)) | None) => self.order = other,
        }
    }

    /// A shutdown, or the end of all nodes, came first.
    pub(super) fn overtake_order(&mut self) {
        let running = self.order.take();
        if let Some(Running::Reload(reload)) = &running {
            self.end_trial(reload);
        }
        let draining = std::mem::take(&mut self.draining);
        let waits = self.next.take().map(|next| next.ticket);
        let tickets = running.as_ref().and_then(Running::ticket).into_iter();
        for ticket in tickets.chain(draining.iter().filter_map(Draining::ticket)).chain(waits) {
            self.answer(ticket, Err(OrderError::ShuttingDown));
        }
    }

    /// How a failed order is answered: with who serves now.
    pub(super) fn failed_order(&self, why: String) -> OrderError {
        OrderError::Failed { why, serving: self.who_serves() }
    }
}
