//! What this release says on the control socket, as bytes; see [`assert_understood`].

use serde_json::{Value, json};

use super::message::{ToMaster, ToNode};
use super::transcripts::assert_understood;

fn machine() -> Value {
    let process = json!({ "id": 7, "slot": 1, "pid": 4711, "state": "serving", "generation": 3 });
    json!({ "name": "a", "epoch": 7, "reachable": true, "fleet": { "wanted": 4, "processes": [process] } })
}

#[test]
fn masters_understand_what_nodes_have_said_since_the_first_release() {
    let counter = json!({ "name": "jobs_total", "labels": [["queue", "mail"]], "help": "Jobs.", "measured": { "counter": { "more": 7 } } });
    let gauge = json!({ "name": "oldest", "labels": [], "measured": { "gauge": { "value": 1.5, "rule": "max" } } });
    let histogram = json!({ "name": "s", "labels": [], "measured": { "histogram": { "buckets": [1, 0], "sum": 0.5, "bounds": [1.0] } } });
    let summary = json!({ "name": "b", "labels": [], "measured": { "summary": { "count": 2, "sum": 3.5 } } });
    let gone = json!({ "name": "oldest", "labels": [], "measured": "gone" });
    let versions = json!({ "lowest": 1, "highest": 2 });
    let gateway = json!({
        "pid": null, "connected": true, "machines": 2, "published": 3, "received": 4, "dropped": 5, "bad_frames": 6,
    });
    let mut refused = gateway.clone();
    refused["error"] = json!("no way");
    let samples = [
        (
            0,
            json!({ "hello": { "versions": versions, "addresses": [["0.0.0.0:80"], []], "capabilities": ["skips_unknown"] } }),
        ),
        (0, json!("ready")),
        (0, json!({ "failed": { "why": "no route to host" } })),
        (0, json!("beat")),
        (0, json!({ "gateway": gateway })),
        (0, json!({ "gateway": refused })),
        (0, json!({ "machines": { "own": null, "anew": true, "changed": [machine()], "gone": [["b", 8]] } })),
        (0, json!("leaving")),
        (0, json!({ "drained": { "finished": 1, "handed_off": 2, "aborted": 3, "kept": 4, "kept_closed": 5 } })),
        (0, json!({ "rejoin": { "peer": 7 } })),
        (0, json!("want_peers")),
        (0, json!({ "want_handoff": { "peer": 7 } })),
        (0, json!({ "open_link": { "peer": 7, "broken_epoch": 2 } })),
        (0, json!({ "seek_lease": { "ticket": 3, "name": "cron" } })),
        (0, json!({ "return_lease": { "ticket": 3 } })),
        (0, json!({ "command": { "ticket": 9, "command": { "scale": { "nodes": 4 } } } })),
        (0, json!({ "measured": { "series": [counter, gauge, histogram, summary, gone] } })),
        (0, json!("exec")),
    ];
    assert_understood::<ToMaster>(include_str!("../../tests/transcripts/node-to-master.txt"), &samples);
}

#[test]
fn nodes_understand_what_masters_have_said_since_the_first_release() {
    let seconds = |secs: u64| json!({ "secs": secs, "nanos": 500 });
    let settings = json!({
        "drain_timeout": seconds(30), "heartbeat": seconds(7), "signals": true, "measures": true, "measures_all": true, "mesh_files": 26,
    });
    let hello_ack = json!({
        "version": 2, "capabilities": ["skips_unknown"], "id": 1, "slot": 0, "generation": 3, "settings": settings, "line": 1, "trial": true,
        "slots": 4, "secret": [94, 7], "servers": [[["tcp", 0], ["unix", 1]], [["tcp", 2]]], "load": 3, "wake_fd": 4, "limits": 5,
    });
    let words = |text: &str| json!({ "Unix": text.as_bytes() });
    let exec = json!({
        "program": words("gunicorn"), "args": [words("app:app")], "env": [[words("A"), words("b")], [words("C"), null]], "fds": [[3, 0], [4, 1]],
        "parent_info": 5, "found": ["/usr/bin/gunicorn", 2], "stop_signal": 15, "open_files": 1024,
    });
    let peer = json!({ "id": 7, "slot": 1, "pid": 4711, "draining": true, "epoch": 2 });
    let since = json!({ "secs_since_epoch": 1_700_000_000, "nanos_since_epoch": 7 });
    let slot = json!({
        "slot": 0, "id": 1, "pid": 4711, "state": "serving", "since": since, "generation": 3, "restarts": 2, "last_exit": { "signal": 9 },
        "connections": 1, "requests": 2, "in_flight": 3, "skipped_messages": 4, "program": { "ready_by": "notification", "said": "well" },
    });
    let waiting = json!({ "command": "reload", "nodes": [1, 2], "until_ms": 1_700_000_000_000_u64 });
    let replaced = json!({
        "slot": 0, "old": 1, "new": 2, "to_ready_ms": 1000, "drain_ms": 2000, "killed": false, "finished": 1, "handed_off": 2, "kept": 5, "kept_closed": 6, "aborted": 3,
        "requests_failed": 4,
    });
    let report = json!({ "reload": { "generation": 4, "slots": [replaced], "took_ms": 3000, "canary": null, "not_applied": [] } });
    let pair = json!({ "chain": [[48, 130], [48, 131]], "key": [48, 46] });
    let server = json!({ "pairs": [pair], "client_authorities": [[48, 132]], "ticket_keys": [[5, 6]] });
    let tls = json!({ "servers": [null, server], "ticket_keys": [[1, 2], [3, 4]], "keys_made_ms": 7 });
    let samples = [
        (6, json!({ "hello_ack": hello_ack })),
        (3, json!({ "exec": exec })),
        (0, json!({ "gateway_ack": { "version": 2, "epoch": 7, "settings": [1, 2] } })),
        (0, json!({ "fleet": machine()["fleet"] })),
        (0, json!({ "machines": { "own": ["b", 8], "anew": false, "changed": [machine()], "gone": [["b", 7]] } })),
        (0, json!({ "bus_peer": { "id": 7, "slot": 1 } })),
        (0, json!({ "serves": { "id": 7, "slot": 1 } })),
        (0, json!({ "refused": { "why": "other addresses" } })),
        (2, json!({ "joined": { "peers": [{ "peer": peer, "greets": true, "stream": 0, "handoff": 1 }] } })),
        (0, json!({ "joined": { "peers": [{ "peer": peer, "greets": false, "bus": true }] } })),
        (1, json!({ "rejoined": { "peer": peer, "stream": 0 } })),
        (0, json!("all_joined")),
        (1, json!({ "link_opened": { "peer": 7, "epoch": 3, "link": 0 } })),
        (0, json!({ "peer_drains": { "id": 7 } })),
        (0, json!({ "gone": { "id": 7 } })),
        (0, json!({ "drain": { "within": seconds(29), "successors": [[2], [3, 4]], "closing": true } })),
        (0, json!("pause")),
        (0, json!("resume")),
        (
            0,
            json!({ "status": { "status": { "slots": [slot], "wanted": 4, "waiting": waiting }, "lines": [1, null] } }),
        ),
        (0, json!({ "lease_granted": { "ticket": 3 } })),
        (0, json!({ "departing": { "within": seconds(60) } })),
        (0, json!({ "adopted": { "settings": settings } })),
        (0, json!({ "tls": tls })),
        (0, json!({ "answer": { "ticket": 9, "result": { "Ok": report } } })),
    ];
    assert_understood::<ToNode>(include_str!("../../tests/transcripts/master-to-node.txt"), &samples);
}
