use super::*;

fn replacement(
    handed_off: Option<u64>,
    finished: Option<u64>,
    aborted: Option<u64>,
    failed: Option<u64>,
) -> Replacement {
    Replacement {
        slot: Slot(0),
        old: Some(NodeId::node(1)),
        new: NodeId::node(2),
        to_ready: Duration::ZERO,
        drain: Duration::ZERO,
        killed: false,
        finished,
        handed_off,
        kept: handed_off.map(|count| count + 2),
        kept_closed: handed_off.map(|count| count + 1),
        aborted,
        requests_failed: failed,
    }
}

#[test]
fn a_reload_sums_up_its_slots_as_far_as_they_are_known() {
    let slots = vec![
        replacement(Some(10), Some(20), Some(30), Some(40)),
        replacement(None, None, None, None),
        replacement(Some(1), Some(2), Some(3), Some(4)),
    ];
    let report = ReloadReport {
        generation: Generation(1),
        slots,
        took: Duration::ZERO,
        canary: None,
        not_applied: Vec::new(),
        certificate_errors: Vec::new(),
    };
    let sums = [report.handed_off(), report.finished(), report.aborted(), report.requests_failed()];
    assert_eq!(sums, [11, 22, 33, 44]);
    assert_eq!((report.kept(), report.kept_closed()), (15, 13));
    assert!(
        report.to_string().contains("22 finished (15 were kept, and 13 of them closed while idle), 33 cut"),
        "{report}"
    );
}

#[test]
fn programs_know_each_refusal_by_its_code_and_whether_anything_was_begun() {
    let (text, serving) = (String::new, Serving::default);
    let refusals = [
        (CommandError::Busy { running: text() }, "busy", false),
        (CommandError::NotFromNodes, "not_from_nodes", false),
        (CommandError::OutOfRange { asked: 0, max: 1 }, "out_of_range", false),
        (CommandError::OpenFiles { asked: 2, max: 1 }, "open_files", false),
        (CommandError::NoSuchSlot { slot: Slot(1), slots: 1 }, "no_such_slot", false),
        (CommandError::Superseded { by: text() }, "superseded", false),
        (CommandError::ShuttingDown, "shutting_down", false),
        (CommandError::SingleProcess, "single_process", false),
        (CommandError::Failed { why: text(), serving: serving() }, "failed", true),
        (CommandError::MasterStays { why: text() }, "master_stays", true),
        (CommandError::RolledBack { why: text(), serving: serving() }, "rolled_back", true),
        (CommandError::MasterGone, "master_gone", true),
    ];
    for (refusal, code, has_begun) in refusals {
        assert_eq!((refusal.code(), refusal.has_begun()), (code, has_begun), "{refusal:?}");
    }
}

#[test]
fn a_canary_is_reported_by_its_answers_or_by_its_life() {
    let canary = |by_answers| CanaryReport {
        node: NodeId::node(4),
        watched: Duration::from_secs(60),
        new: RequestCounts { requests: 200, errors: 1 },
        old: RequestCounts { requests: 900, errors: 2 },
        by_answers,
    };
    let judged = "node-4 stood its trial of 60.0s: server errors in 1 of 200 requests, and in 2 of 900 requests of the old nodes";
    assert_eq!(canary(true).to_string(), judged);
    let lived = "node-4 lived through its trial of 60.0s, with too few answers to judge: 1 of 200 requests";
    assert_eq!(canary(false).to_string(), lived);
}

#[test]
fn a_setting_that_is_not_applied_is_shown_with_what_applies_it() {
    let shown = |applied_by| NotApplied::new("nodes", Some("2".to_owned()), None, applied_by).to_string();
    assert_eq!(shown(AppliedBy::Scale), "nodes: 2 is in force, the default is wanted; `scale` applies it");
    assert_eq!(shown(AppliedBy::Upgrade), "nodes: 2 is in force, the default is wanted; an upgrade applies it");
    assert_eq!(
        shown(AppliedBy::Restart),
        "nodes: 2 is in force, the default is wanted; a restart of the whole applies it"
    );
}
