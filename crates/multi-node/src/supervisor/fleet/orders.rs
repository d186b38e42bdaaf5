//! Orders: one at a time, each answered exactly once.

use std::time::Instant;

use super::reload::Reload;
use super::replace::{Cause, Replace};
use super::scale::Scale;
use super::upgrade::Departure;
use super::{Course, Fleet, Level, MAX_SLOTS, Node, Ticket};
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
            Order::Reload => self.begin_reload(now, ticket, false),
            Order::Upgrade => self.begin_reload(now, ticket, true),
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
        match (&self.course, order, &self.order) {
            (Course::Stopping(_) | Course::Over, ..) => Err(OrderError::ShuttingDown),
            (_, Order::Scale { nodes }, _) if nodes == 0 || nodes > max => {
                Err(OrderError::OutOfRange { asked: nodes, max })
            }
            (_, Order::Restart { slot }, _) if slot.index() >= self.slots.len() => {
                Err(OrderError::NoSuchSlot { slot, slots: self.slots.len() })
            }
            (Course::Unstarted | Course::Resolving, ..) => Err(OrderError::Busy { running: String::from("start") }),
            (.., Some(running)) if running.ticket().is_some() => {
                Err(OrderError::Busy { running: running.name().to_owned() })
            }
            (Course::Running, ..) => Ok(()),
        }
    }

    /// Takes the running order as far as the nodes' states allow.
    pub(super) fn advance_order(&mut self, now: Instant) {
        match self.order.take() {
            Some(Running::Reload(reload)) => self.advance_reload(now, reload),
            Some(Running::Replace(replace)) => self.advance_replace(now, replace),
            Some(Running::Scale(scale)) => self.advance_scale(scale),
            // What follows comes from the loop.
            other @ (Some(Running::Departure(_)) | None) => self.order = other,
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

    /// The node is dead: the order that stands on it has failed.
    pub(super) fn fail_order_of(&mut self, now: Instant, id: NodeId) {
        if self.dependent_on(id) == Dependent::Nothing {
            return;
        }
        let why = self.last_death.clone();
        match self.order.take() {
            Some(Running::Reload(reload)) => self.stop_reload(now, &reload, why),
            Some(Running::Replace(replace)) => self.stop_replace(now, &replace, why),
            Some(Running::Scale(scale)) => self.undo_scale(now, &scale, why),
            other @ (Some(Running::Departure(_)) | None) => self.order = other,
        }
    }

    /// A shutdown, or the end of all nodes, came first.
    pub(super) fn overtake_order(&mut self) {
        let Some(running) = self.order.take() else {
            return;
        };
        if let Running::Reload(reload) = &running {
            self.end_trial(reload);
        }
        if let Some(ticket) = running.ticket() {
            self.answer(ticket, Err(OrderError::ShuttingDown));
        }
    }

    pub(super) fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        match &mut self.order {
            Some(Running::Reload(reload)) => reload.note_drained(now, id, node),
            Some(Running::Replace(replace)) => replace.note_drained(now, id, node),
            Some(Running::Scale(_) | Running::Departure(_)) | None => {}
        }
    }
}
