//! What this release says on the control socket, as bytes: every later one has to understand it, and so has this one what it says today.
//!
//! `tests/transcripts/` has a line for each message that a release has said: its kind, the number of its descriptors, and its bytes. Lines are
//! added, never changed. A kind of which there is no line yet fails the test, which then shows the line.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytes::BytesMut;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::codec::{Decoder, encode};
use super::message::{Fds, ToMaster, ToNode};
use super::{Skipped, kind};

/// Any message, as what it says: messages of two releases can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plain {
    Nil,
    Bool(bool),
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Plain>),
    Map(BTreeMap<String, Plain>),
}

impl Plain {
    /// Whether all that stands here stands there too, where there may be more fields.
    fn is_within(&self, other: &Plain) -> bool {
        match (self, other) {
            (Plain::List(own), Plain::List(other)) => {
                own.len() == other.len() && own.iter().zip(other).all(|(own, other)| own.is_within(other))
            }
            (Plain::Map(own), Plain::Map(other)) => {
                own.iter().all(|(name, value)| other.get(name).is_some_and(|other| value.is_within(other)))
            }
            (own, other) => own == other,
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Plain, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Plain;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Plain, E> {
                Ok(Plain::Nil)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
                Ok(Plain::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
                Ok(Plain::Number(value as f64))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
                Ok(Plain::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
                Ok(Plain::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
                Ok(Plain::Text(value.to_owned()))
            }
            fn visit_bytes<E>(self, value: &[u8]) -> Result<Plain, E> {
                Ok(Plain::Bytes(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Plain, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = list.next_element()? {
                    all.push(entry);
                }
                Ok(Plain::List(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<Plain, Plain>()? {
                    all.insert(format!("{name:?}"), value);
                }
                Ok(Plain::Map(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A message of today: its number of descriptors, and what it says.
pub(crate) type Sample = (usize, Value);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn nulls(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| std::fs::File::open("/dev/null").expect("/dev/null").into()).collect()
}

/// The message's frame, as this release writes it.
fn frame(message: &impl Serialize, fds: usize) -> Vec<u8> {
    let mut frame = BytesMut::new();
    encode(message, fds, &mut frame).expect("short");
    frame.to_vec()
}

/// Whether every kind has been recorded, and all that was recorded is understood as it was meant.
pub(crate) fn assert_understood<M: Serialize + DeserializeOwned + Fds>(transcript: &str, samples: &[Sample]) {
    let lines: Vec<Vec<&str>> = transcript.lines().map(|line| line.split(' ').collect()).collect();
    let missing: Vec<String> = samples
        .iter()
        .map(|(fds, said)| {
            let message: M = serde_json::from_value(said.clone()).unwrap_or_else(|error| panic!("{said}: {error}"));
            let name = said.as_str().or_else(|| said.as_object()?.keys().next().map(String::as_str));
            format!("{} {fds} {}", name.expect("a kind"), hex(&frame(&message, *fds)))
        })
        .filter(|line| lines.iter().all(|known| !line.starts_with(&format!("{} ", known[0]))))
        .collect();
    assert!(missing.is_empty(), "add what this release says:\n{}", missing.join("\n"));
    for known in kind::known::<M>() {
        assert!(lines.iter().any(|line| line[0] == *known), "there is no sample of {known}");
    }
    lines.iter().for_each(|line| assert_line_is_understood::<M>(line));
}

fn assert_line_is_understood<M: Serialize + DeserializeOwned + Fds>(line: &[&str]) {
    let [name, fds, hex] = line else { panic!("{line:?} is no line") };
    let (fds, said, skipped) = (fds.parse().expect("a number"), bytes(hex), Arc::new(AtomicU64::new(0)));
    let mut decoder = Decoder { skipped: Skipped::counted(&skipped), ..Decoder::default() };
    decoder.bytes.extend_from_slice(&said);
    decoder.fds.extend(nulls(fds));
    let message: M = decoder.next().expect(name).unwrap_or_else(|| panic!("{name} is skipped"));
    assert_eq!((skipped.load(Relaxed), decoder.fds.len()), (0, 0), "{name}");
    let plain = |frame: &[u8]| rmp_serde::from_slice::<Plain>(&frame[5..]).expect("MessagePack");
    let (before, now) = (plain(&said), plain(&frame(&message, 0)));
    assert!(before.is_within(&now), "{name}: it was said {before:?}, and understood {now:?}");
}

#[test]
fn masters_understand_what_nodes_have_said_since_the_first_release() {
    let counter = json!({ "name": "jobs_total", "labels": [["queue", "mail"]], "help": "Jobs.", "measured": { "counter": { "more": 7 } } });
    let gauge = json!({ "name": "oldest", "labels": [], "measured": { "gauge": { "value": 1.5, "rule": "max" } } });
    let histogram = json!({ "name": "s", "labels": [], "measured": { "histogram": { "buckets": [1, 0], "sum": 0.5, "bounds": [1.0] } } });
    let summary = json!({ "name": "b", "labels": [], "measured": { "summary": { "count": 2, "sum": 3.5 } } });
    let gone = json!({ "name": "oldest", "labels": [], "measured": "gone" });
    let versions = json!({ "lowest": 1, "highest": 2 });
    let samples = [
        (
            0,
            json!({ "hello": { "versions": versions, "addresses": [["0.0.0.0:80"], []], "capabilities": ["skips_unknown"] } }),
        ),
        (0, json!("ready")),
        (0, json!({ "failed": { "why": "no route to host" } })),
        (0, json!("beat")),
        (0, json!("leaving")),
        (0, json!({ "drained": { "finished": 1, "handed_over": 2, "cut": 3 } })),
        (0, json!({ "rejoin": { "peer": 7 } })),
        (0, json!({ "ask": { "ticket": 9, "order": { "scale": { "nodes": 4 } } } })),
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
    let welcome = json!({
        "version": 2, "capabilities": ["skips_unknown"], "id": 1, "slot": 0, "generation": 3, "settings": settings, "line": 1, "trial": true,
        "slots": 4, "secret": [94, 7], "servers": [["tcp", "unix"], ["tcp"]],
    });
    let words = |text: &str| json!({ "Unix": text.as_bytes() });
    let exec = json!({
        "program": words("gunicorn"), "args": [words("app:app")], "env": [[words("A"), words("b")], [words("C"), null]], "numbers": [3, 4],
        "seat": 5, "found": "/usr/bin/gunicorn", "stop_signal": 15, "open_files": 1024,
    });
    let peer = json!({ "id": 7, "slot": 1, "pid": 4711, "draining": true, "epoch": 2 });
    let since = json!({ "secs_since_epoch": 1_700_000_000, "nanos_since_epoch": 7 });
    let slot = json!({
        "slot": 0, "id": 1, "pid": 4711, "state": "serving", "since": since, "generation": 3, "restarts": 2, "last_exit": { "signal": 9 },
        "connections": 1, "requests": 2, "in_flight": 3, "skipped_messages": 4, "program": { "ready_by": "notification", "said": "well" },
    });
    let waiting = json!({ "order": "reload", "nodes": [1, 2], "until": since });
    let replaced = json!({
        "slot": 0, "old": 1, "new": 2, "to_ready": seconds(1), "drain": seconds(2), "killed": false, "finished": 1, "handed_over": 2, "cut": 3,
        "requests_failed": 4,
    });
    let report = json!({ "reload": { "generation": 4, "slots": [replaced], "took": seconds(3), "canary": null, "not_applied": [] } });
    let samples = [
        (5, json!({ "welcome": welcome })),
        (3, json!({ "exec": exec })),
        (0, json!({ "refused": { "why": "other addresses" } })),
        (2, json!({ "joined": { "peers": [{ "peer": peer, "greets": true }] } })),
        (1, json!({ "rejoined": { "peer": peer } })),
        (0, json!({ "peer_drains": { "id": 7 } })),
        (0, json!({ "gone": { "id": 7 } })),
        (0, json!({ "drain": { "within": seconds(29), "heirs": [[2], [3, 4]], "closing": true } })),
        (0, json!("pause")),
        (0, json!("resume")),
        (
            0,
            json!({ "status": { "status": { "slots": [slot], "wanted": 4, "waiting": waiting }, "lines": [1, null] } }),
        ),
        (0, json!({ "departing": { "within": seconds(60) } })),
        (0, json!({ "adopted": { "settings": settings } })),
        (0, json!({ "answer": { "ticket": 9, "result": { "Ok": report } } })),
    ];
    assert_understood::<ToNode>(include_str!("../../tests/transcripts/master-to-node.txt"), &samples);
}
