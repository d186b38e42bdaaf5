//! The page `/metrics`: the program and its slots as metrics.

use std::collections::BTreeMap;

use super::slot_counters::SlotCounters;
use crate::admin::{Instance, SlotInfo};
use crate::id::Slot;
use crate::metrics::{Exposition, Kind};
use crate::process_links::Totals;
use multi_node_fleet::status::{CertificateStatus, State};

/// All that the page is made of.
pub(super) struct Page<'a> {
    pub(super) instance: &'a Instance,
    pub(super) slot_counters: &'a SlotCounters,
    /// Connections and requests of those slots of which they are known.
    pub(super) totals: &'a BTreeMap<Slot, Totals>,
    /// Checks of limits that found no room for their key.
    pub(super) limit_overflows: u64,
}

/// Values by slot. They are exported one by one and as their sum.
type Values = Vec<(Slot, f64)>;

impl Page<'_> {
    pub(super) fn write(&self, text: &mut Exposition) {
        self.program(text);
        self.counters(text);
        self.gauges(text);
        self.certificates(text);
    }

    fn certificates(&self, text: &mut Exposition) {
        let mut each = |name: &str, help: &str, of: fn(&CertificateStatus) -> f64| {
            if self.instance.certificates.is_empty() {
                return;
            }
            text.metric(name, Kind::Gauge, help);
            for certificate in &self.instance.certificates {
                let labels = [("server", &*certificate.server.to_string()), ("file", &certificate.file)];
                text.sample(name, &labels, of(certificate));
            }
        };
        let expiry = "When the certificate in force expires, as Unix time.";
        each("multi_node_certificate_expiry_timestamp_seconds", expiry, |one| one.expires as f64);
        let error = "1 if what the files have now cannot be used, so that the certificate before stays in force.";
        each("multi_node_certificate_error", error, |one| f64::from(u8::from(one.error.is_some())));
    }

    fn program(&self, text: &mut Exposition) {
        let Instance { name, version, started_ms, ready, wanted, .. } = self.instance;
        text.metric("multi_node_info", Kind::Gauge, "The program's name and the library's version; always 1.");
        text.sample("multi_node_info", &[("name", name), ("version", version)], 1);
        let mut single = |name: &str, help: &str, value: f64| {
            text.metric(name, Kind::Gauge, help);
            text.sample(name, &[], value);
        };
        let serving = self.instance.slots.iter().filter(|slot| slot.state == State::Serving).count();
        single("multi_node_start_time_seconds", "When the master began, as Unix time.", seconds(*started_ms));
        single("multi_node_ready", "1 if every slot has a node that serves.", f64::from(u8::from(*ready)));
        single("multi_node_slots_wanted", "Slots that are meant to serve.", *wanted as f64);
        single("multi_node_nodes_serving", "Nodes that serve.", serving as f64);
    }

    fn counters(&self, text: &mut Exposition) {
        let of = |count: fn(&Totals) -> u64| {
            self.totals.iter().map(|(slot, totals)| (*slot, count(totals) as f64)).collect()
        };
        both(text, Kind::Counter, "requests_total", "Requests begun.", &of(|totals| totals.requests));
        both(text, Kind::Counter, "connections_total", "Connections accepted.", &of(|totals| totals.accepted));
        let skipped =
            "Messages between processes that were skipped: of a later release, and not known to their receiver.";
        both(text, Kind::Counter, "skipped_messages_total", skipped, &of(|totals| totals.skipped));
        let overflows = "multi_node_limit_overflows_total";
        text.metric(overflows, Kind::Counter, "Checks of limits that found no room for their key, and were allowed.");
        text.sample(overflows, &[], self.limit_overflows);
        let restarts = self.slot_counters.slots().map(|(slot, account)| (slot, account.restarts() as f64)).collect();
        both(text, Kind::Counter, "restarts_total", "Nodes that ended unasked.", &restarts);
        let cpu = self.slot_counters.slots().map(|(slot, account)| (slot, seconds(account.cpu_ms()))).collect();
        both(text, Kind::Counter, "cpu_seconds_total", "Processor time of nodes.", &cpu);
    }

    fn gauges(&self, text: &mut Exposition) {
        let sums = |of: fn(&SlotInfo) -> Option<f64>| {
            let mut sums = BTreeMap::new();
            for slot in &self.instance.slots {
                if let Some(value) = of(slot) {
                    *sums.entry(slot.slot).or_insert(0.0) += value;
                }
            }
            Values::from_iter(sums)
        };
        let whole = "Memory, with what is shared counted in proportion.";
        both(text, Kind::Gauge, "connections", "Connections open.", &sums(|slot| known(slot.connections)));
        both(
            text,
            Kind::Gauge,
            "requests_in_flight",
            "Requests not answered yet.",
            &sums(|slot| known(slot.in_flight)),
        );
        both(text, Kind::Gauge, "memory_pss_bytes", whole, &sums(|slot| known(slot.pss_bytes)));
        both(text, Kind::Gauge, "draining", "Nodes that drain.", &sums(|slot| Some(is(slot, State::Draining))));
        self.holders(text);
    }

    /// The metrics of the newest node of each slot, which have no sum.
    fn holders(&self, text: &mut Exposition) {
        let mut each = |name: &str, help: &str, of: fn(&SlotInfo) -> f64| {
            text.metric(name, Kind::Gauge, help);
            let mut metrics_sink = None;
            for slot in self.instance.slots.iter().filter(|slot| metrics_sink.replace(slot.slot) != Some(slot.slot)) {
                text.sample(name, &[("slot", &slot.slot.to_string())], of(slot));
            }
        };
        each("multi_node_slot_serving", "1 if the slot's node serves.", |slot| is(slot, State::Serving));
        each("multi_node_slot_state_seconds", "For how long it has been in its state.", |slot| seconds(slot.for_ms));
        each("multi_node_slot_generation", "The reload it was started for.", |slot| f64::from(slot.generation));
    }
}

/// A metric of the program, and the same of each slot under its own name, so that no query sums both.
fn both(text: &mut Exposition, kind: Kind, name: &str, help: &str, values: &Values) {
    let (total, slot) = (format!("multi_node_{name}"), format!("multi_node_slot_{name}"));
    if values.is_empty() {
        return;
    }
    text.metric(&total, kind, &format!("{help} All slots."));
    text.sample(&total, &[], values.iter().map(|(_, value)| value).sum::<f64>());
    text.metric(&slot, kind, &format!("{help} By slot."));
    for (number, value) in values {
        text.sample(&slot, &[("slot", &number.to_string())], value);
    }
}

fn known(count: Option<u64>) -> Option<f64> {
    count.map(|count| count as f64)
}

fn is(slot: &SlotInfo, state: State) -> f64 {
    f64::from(u8::from(slot.state == state))
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::slot_counters::tests::instance;
    use super::*;

    #[test]
    fn each_metric_is_told_per_slot_and_in_total() {
        let instance = instance(&[(0, "node-3", 2500, 1), (0, "node-1", 500, 1), (1, "node-2", 10, 0)]);
        let mut slot_counters = SlotCounters::default();
        slot_counters.see(&instance);
        let totals = BTreeMap::from([
            (Slot(0), Totals { accepted: 3, requests: 40, skipped: 5 }),
            (Slot(1), Totals { accepted: 4, requests: 2, skipped: 0 }),
        ]);
        let mut text = Exposition::default();
        Page { instance: &instance, slot_counters: &slot_counters, totals: &totals, limit_overflows: 7 }
            .write(&mut text);
        let text = text.into_text();
        for line in [
            "multi_node_info{name=\"web\",version=\"1.2.3\"} 1",
            "multi_node_start_time_seconds 1.5",
            "multi_node_ready 1",
            "# TYPE multi_node_requests_total counter",
            "multi_node_requests_total 42",
            "multi_node_slot_requests_total{slot=\"0\"} 40",
            "multi_node_slot_connections_total{slot=\"1\"} 4",
            "multi_node_limit_overflows_total 7",
            "multi_node_skipped_messages_total 5",
            "multi_node_restarts_total 1",
            "multi_node_cpu_seconds_total 3.01",
            "multi_node_slot_cpu_seconds_total{slot=\"0\"} 3",
            "multi_node_slot_connections{slot=\"0\"} 4",
            "multi_node_requests_in_flight 3",
            "multi_node_memory_pss_bytes 12288",
            "multi_node_slot_generation{slot=\"0\"} 3",
        ] {
            assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("multi_node_slot_serving{slot=\"0\"}").count(), 1, "each sample once");
        assert!(!text.contains("pid"), "pids come and go, and would make series without end");
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut instance = instance(&[(0, "node-1", 1, 0)]);
        (instance.slots[0].connections, instance.slots[0].in_flight) = (None, None);
        let mut text = Exposition::default();
        Page {
            instance: &instance,
            slot_counters: &SlotCounters::default(),
            totals: &BTreeMap::new(),
            limit_overflows: 0,
        }
        .write(&mut text);
        let text = text.into_text();
        assert!(!text.contains("requests") && !text.contains("connections"), "{text}");
    }
}
