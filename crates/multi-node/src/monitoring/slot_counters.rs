//! Counters of processes that come and go, added up so that no slot's counter goes backwards.

use std::collections::BTreeMap;

use crate::admin::Instance;
use crate::id::Slot;

/// What has been seen of each slot.
#[derive(Debug, Default)]
pub(super) struct SlotCounters(BTreeMap<Slot, Account>);

/// One slot's counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Processor time of processes that are gone, as far as it was seen, in milliseconds.
    cpu_ended_ms: u64,
    /// That of those that live, by the node's id.
    cpu_alive_ms: BTreeMap<String, u64>,
    restarts_before: u64,
    restarts: u64,
}

impl Account {
    pub(super) fn cpu_ms(&self) -> u64 {
        self.cpu_ended_ms + self.cpu_alive_ms.values().sum::<u64>()
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts_before + self.restarts
    }

    /// A slot that was given up and came back counts from 0 again.
    fn see_restarts(&mut self, restarts: u64) {
        if restarts < self.restarts {
            self.restarts_before += self.restarts;
        }
        self.restarts = restarts;
    }

    fn close_all_but(&mut self, alive: &[(Slot, &str)]) {
        let ended: Vec<String> =
            self.cpu_alive_ms.keys().filter(|id| alive.iter().all(|(_, living)| living != id)).cloned().collect();
        for id in ended {
            self.cpu_ended_ms += self.cpu_alive_ms.remove(&id).unwrap_or_default();
        }
    }
}

impl SlotCounters {
    /// Takes in what is seen now.
    pub(super) fn see(&mut self, instance: &Instance) {
        let alive: Vec<(Slot, &str)> = instance
            .slots
            .iter()
            .filter(|slot| slot.pid.is_some())
            .filter_map(|slot| Some((slot.slot, slot.id.as_deref()?)))
            .collect();
        self.0.values_mut().for_each(|account| account.close_all_but(&alive));
        for slot in &instance.slots {
            let account = self.0.entry(slot.slot).or_default();
            account.see_restarts(slot.restarts);
            if let (Some(id), Some(cpu_ms)) = (&slot.id, slot.cpu_ms) {
                // A worker's time is missing for a moment while its parent takes it over.
                let seen = account.cpu_alive_ms.entry(id.clone()).or_default();
                *seen = cpu_ms.max(*seen);
            }
        }
    }

    /// Every slot that was ever seen.
    pub(super) fn slots(&self) -> impl Iterator<Item = (Slot, &Account)> {
        self.0.iter().map(|(slot, account)| (*slot, account))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A program with these slots: slot, id, processor time, restarts.
    pub(in crate::monitoring) fn instance(slots: &[(u16, &str, u64, u64)]) -> Instance {
        let slots: Vec<_> = slots
            .iter()
            .map(|(slot, id, cpu_ms, restarts)| {
                json!({
                    "slot": slot, "id": id, "pid": 100 + slot, "state": "serving", "for_ms": 5000, "generation": 3,
                    "restarts": restarts, "last_exit": null, "connections": 2, "requests": 7, "in_flight": 1,
                    "cpu_ms": cpu_ms, "pss_bytes": 4096,
                })
            })
            .collect();
        serde_json::from_value(json!({
            "name": "web", "pid": 99, "version": "1.2.3", "started_ms": 1_500, "now_ms": 9_000,
            "addresses": ["0.0.0.0:80"], "ready": true, "wanted": slots.len(), "slots": slots,
        }))
        .expect("an instance")
    }

    fn seen(slot_counters: &SlotCounters) -> Vec<(usize, u64, u64)> {
        slot_counters.slots().map(|(slot, account)| (slot.index(), account.cpu_ms(), account.restarts())).collect()
    }

    #[test]
    fn counters_go_on_where_nodes_are_replaced() {
        let mut slot_counters = SlotCounters::default();
        slot_counters.see(&instance(&[(0, "node-1", 100, 0), (1, "node-2", 50, 0)]));
        slot_counters.see(&instance(&[(0, "node-3", 5, 0), (0, "node-1", 120, 0), (1, "node-2", 60, 0)]));
        assert_eq!(seen(&slot_counters), [(0, 125, 0), (1, 60, 0)]);
        slot_counters.see(&instance(&[(0, "node-3", 7, 0), (1, "node-4", 1, 1)]));
        assert_eq!(seen(&slot_counters), [(0, 127, 0), (1, 61, 1)]);
    }

    #[test]
    fn slots_that_go_and_come_back_go_on_counting() {
        let mut slot_counters = SlotCounters::default();
        slot_counters.see(&instance(&[(0, "node-1", 1, 0), (1, "node-2", 50, 3)]));
        slot_counters.see(&instance(&[(0, "node-1", 2, 0)]));
        assert_eq!(seen(&slot_counters), [(0, 2, 0), (1, 50, 3)]);
        slot_counters.see(&instance(&[(0, "node-1", 2, 0), (1, "node-3", 4, 1)]));
        assert_eq!(seen(&slot_counters), [(0, 2, 0), (1, 54, 4)]);
    }
}
