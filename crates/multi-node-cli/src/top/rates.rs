//! What changes in a second, from two looks at counters.

use std::collections::BTreeMap;

use multi_node::admin::{Instance, SlotInfo};
use multi_node::status::Slot;
use serde::Serialize;

/// How fast a program's counters grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// Requests a second, by slot.
    requests: BTreeMap<Slot, f64>,
    /// Processor time in percent of one processor, by node.
    cpu: BTreeMap<String, f64>,
}

impl Rates {
    /// From one look to the next.
    pub(super) fn between(before: &Instance, now: &Instance) -> Rates {
        let ms = now.now_ms.saturating_sub(before.now_ms);
        if ms == 0 || before.started_ms != now.started_ms {
            return Rates::default();
        }
        let seconds = ms as f64 / 1000.0;
        let per_second = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        let (requests, cpu) = (requests(before), cpu(before));
        Rates {
            requests: super::rates::requests(now)
                .into_iter()
                .filter_map(|(slot, now)| Some((slot, per_second(*requests.get(&slot)?, now))))
                .collect(),
            cpu: super::rates::cpu(now)
                .into_iter()
                .filter_map(|(id, now)| Some((id.to_owned(), per_second(*cpu.get(id)?, now) / 10.0)))
                .collect(),
        }
    }

    pub(super) fn requests(&self, slot: Slot) -> Option<f64> {
        self.requests.get(&slot).copied()
    }

    pub(super) fn all_requests(&self) -> Option<f64> {
        (!self.requests.is_empty()).then(|| self.requests.values().sum())
    }

    pub(super) fn cpu(&self, slot: &SlotInfo) -> Option<f64> {
        self.cpu.get(slot.id.as_ref()?).copied()
    }
}

/// A slot's nodes together, since the new one continues the counts of the old one.
fn requests(instance: &Instance) -> BTreeMap<Slot, u64> {
    let mut sums = BTreeMap::new();
    for slot in &instance.slots {
        if let Some(requests) = slot.requests {
            *sums.entry(slot.slot).or_default() += requests;
        }
    }
    sums
}

fn cpu(instance: &Instance) -> BTreeMap<&str, u64> {
    instance.slots.iter().filter_map(|slot| Some((slot.id.as_deref()?, slot.cpu_ms?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::example;

    #[test]
    fn rates_are_differences_in_a_second() {
        let before = example();
        let mut now = before.clone();
        now.now_ms += 2000;
        now.slots[0].requests = Some(10_523);
        now.slots[0].cpu_ms = Some(13_300);
        let rates = Rates::between(&before, &now);
        assert_eq!((rates.requests(0.into()), rates.cpu(&now.slots[0])), (Some(50.0), Some(50.0)));
        assert_eq!((rates.requests(1.into()), rates.cpu(&now.slots[1])), (None, None), "not known");
        assert_eq!(Rates::between(&now, &now), Rates::default(), "no time has passed");
    }

    #[test]
    fn another_program_of_the_name_has_no_past() {
        let before = example();
        let mut now = before.clone();
        (now.started_ms, now.now_ms) = (before.now_ms, before.now_ms + 1000);
        assert_eq!(Rates::between(&before, &now), Rates::default());
    }
}
