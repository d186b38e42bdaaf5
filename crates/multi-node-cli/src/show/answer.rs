//! What commands are answered with.

use multi_node::admin::{Description, ms};
use multi_node::commands::{ReloadReport, Replacement};
use multi_node::options::Origin;
use serde_json::Value;

use super::{Colour, Paint, Table, count, span};

/// What a reload did.
pub(crate) fn reloaded(report: &ReloadReport, paint: Paint) -> String {
    let ReloadReport { generation, took, slots, canary, not_applied, certificate_errors, .. } = report;
    let mut head = format!("generation {generation} serves in {} slots after {}", slots.len(), span(ms(*took)));
    if let Some(canary) = canary {
        head = format!("{head}\n{canary}");
    }
    for setting in not_applied {
        head = format!("{head}\n{}", paint.text(Colour::Passing, &format!("not applied: {setting}")));
    }
    for error in certificate_errors {
        let line = format!("the certificates before stay in force: {error}");
        head = format!("{head}\n{}", paint.text(Colour::Bad, &line));
    }
    if slots.is_empty() {
        return head;
    }
    format!("{head}\n\n{}", replacements(slots, paint))
}

/// That a reload has begun, or for what it waits: `{"waiting": {"nodes": ["node-1"]}}`
pub(crate) fn reload_begun(answer: &Value) -> String {
    let begins = match answer["waiting"]["nodes"].as_array() {
        Some(nodes) if nodes.is_empty() => "the reload begins when the one that is under way has its slots",
        Some(_) => "the reload begins when older nodes have drained: `multi-node status` shows which",
        None => "the reload has begun",
    };
    format!("{begins}; `multi-node logs -f` shows how it goes on")
}

/// How one slot's node was replaced.
pub(crate) fn replaced(report: &Replacement, paint: Paint) -> String {
    replacements(std::slice::from_ref(report), paint)
}

fn replacements(slots: &[Replacement], paint: Paint) -> String {
    let mut table = Table::new(&[
        ("SLOT", true),
        ("OLD", false),
        ("NEW", false),
        ("READY AFTER", true),
        ("DRAINED IN", true),
        ("FINISHED", true),
        ("HANDED OFF", true),
        ("KEPT", true),
        ("KEPT CLOSED", true),
        ("ABORTED", true),
        ("REQUESTS LOST", true),
        ("", false),
    ]);
    for slot in slots {
        let bad = |number: Option<u64>| (count(number), number.filter(|&number| number > 0).map(|_| Colour::Bad));
        let killed = if slot.killed { "killed while draining" } else { "" };
        table.row([
            (slot.slot.to_string(), None),
            (count(slot.old.as_ref()), None),
            (slot.new.to_string(), None),
            (span(ms(slot.to_ready)), None),
            (count(slot.old.as_ref().map(|_| span(ms(slot.drain)))), None),
            (count(slot.finished), None),
            (count(slot.handed_off), None),
            (count(slot.kept), None),
            (count(slot.kept_closed), None),
            bad(slot.aborted),
            bad(slot.requests_failed),
            (killed.to_owned(), Some(Colour::Bad)),
        ]);
    }
    match slots.iter().any(|slot| slot.kept.is_some_and(|kept| kept > 0)) {
        true => table.text(paint),
        false => table.without(&["KEPT", "KEPT CLOSED"]).text(paint),
    }
}

/// `{"from": 2, "to": 4}`
pub(crate) fn scaled(report: &Value) -> String {
    format!("scaled from {} to {} nodes", report["from"], report["to"])
}

/// `{"nodes": 2}`
pub(crate) fn signalled(report: &Value) -> String {
    match report["nodes"].as_u64() {
        Some(1) => "sent to 1 node".to_owned(),
        nodes => format!("sent to {} nodes", count(nodes)),
    }
}

/// The description that a program sends.
pub(crate) fn description(description: &Description, paint: Paint) -> String {
    let Description { protocol, how, name, pid, version, addresses, options, commands, .. } = description;
    let mut listed = Table::new(&[("OPTION", false), ("VALUE", false), ("FROM", false)]);
    for option in options {
        listed.row([(option.name.clone(), None), (option.value.clone(), None), (origin(option.from).to_owned(), None)]);
    }
    let mut known = Table::new(&[("REQUEST", false), ("DOES", false)]);
    for command in commands {
        known.row([(command.request.clone(), None), (command.does.clone(), None)]);
    }
    format!(
        "{}  pid {pid}  multi-node {version}\n{}\n\n{}\n\nControl protocol {protocol}: {how}\n\n{}",
        paint.text(Colour::Head, name),
        addresses.join("  "),
        listed.text(paint),
        known.text(paint),
    )
}

fn origin(from: Origin) -> &'static str {
    match from {
        Origin::Default => "default",
        Origin::Code => "code",
        Origin::Environment => "environment",
        Origin::File => "file",
        Origin::CommandLine => "command line",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> ReloadReport {
        let slot = |slot: u16, old: Value, new: &str, killed: bool| {
            json!({
                "slot": slot, "old": old, "new": new, "to_ready_ms": 103, "drain_ms": 1250, "killed": killed,
                "finished": 3, "handed_off": 12, "aborted": u64::from(killed), "requests_failed": killed.then_some(1),
            })
        };
        let slots = [slot(0, json!("node-1"), "node-3", true), slot(1, json!(null), "node-4", false)];
        serde_json::from_value(json!({ "generation": 1, "took_ms": 2704, "slots": slots })).expect("a report")
    }

    #[test]
    fn a_reload_is_reported_slot_by_slot() {
        let expected = "\
generation 1 serves in 2 slots after 2.7 s

SLOT  OLD     NEW     READY AFTER  DRAINED IN  FINISHED  HANDED OFF  ABORTED  REQUESTS LOST
   0  node-1  node-3       103 ms       1.2 s         3          12        1              1  killed while draining
   1  –       node-4       103 ms           –         3          12        0              –";
        assert_eq!(reloaded(&report(), Paint::Plain), expected);
    }

    #[test]
    fn kept_connections_have_their_columns() {
        let mut report = report();
        (report.slots[1].kept, report.slots[1].kept_closed) = (Some(2), Some(1));
        let expected = "\
SLOT  OLD     NEW     READY AFTER  DRAINED IN  FINISHED  HANDED OFF  KEPT  KEPT CLOSED  ABORTED  REQUESTS LOST
   0  node-1  node-3       103 ms       1.2 s         3          12     –            –        1              1  killed while draining
   1  –       node-4       103 ms           –         3          12     2            1        0              –";
        let shown = reloaded(&report, Paint::Plain);
        assert!(shown.ends_with(expected), "{shown}");
    }

    #[test]
    fn the_verdict_on_the_canary_stands_above_the_slots() {
        let canary = json!({
            "node": "node-3", "watched_ms": 5000, "by_answers": true,
            "new": { "requests": 40, "errors": 0 }, "old": { "requests": 120, "errors": 1 },
        });
        let report = json!({ "generation": 1, "took_ms": 9000, "slots": [], "canary": canary });
        let report: ReloadReport = serde_json::from_value(report).expect("a report");
        let expected = "generation 1 serves in 0 slots after 9.0 s\n\
            node-3 stood its trial of 5.0s: server errors in 0 of 40 requests, and in 1 of 120 requests of the old nodes";
        assert_eq!(reloaded(&report, Paint::Plain), expected);
    }

    #[test]
    fn what_a_reload_does_not_apply_stands_above_the_slots() {
        let setting = json!({ "setting": "nodes", "in_force": "2", "wanted": "4", "applied_by": "scale" });
        let report = json!({ "generation": 1, "took_ms": 9000, "slots": [], "not_applied": [setting] });
        let report: ReloadReport = serde_json::from_value(report).expect("a report");
        let expected = "generation 1 serves in 0 slots after 9.0 s\n\
            not applied: nodes: 2 is in force, 4 is wanted; `scale` applies it";
        assert_eq!(reloaded(&report, Paint::Plain), expected);
    }

    #[test]
    fn small_answers_are_sentences() {
        assert_eq!(scaled(&json!({ "from": 2, "to": 4 })), "scaled from 2 to 4 nodes");
        assert_eq!(signalled(&json!({ "nodes": 1 })), "sent to 1 node");
        assert_eq!(signalled(&json!({ "nodes": 3 })), "sent to 3 nodes");
        let begun = "the reload has begun; `multi-node logs -f` shows how it goes on";
        assert_eq!(reload_begun(&Value::Null), begun);
        let waits = reload_begun(&json!({ "waiting": { "command": "reload", "nodes": ["node-1"], "until_ms": 5 } }));
        assert!(waits.starts_with("the reload begins when older nodes have drained"), "{waits}");
    }
}
