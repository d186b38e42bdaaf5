//! What is said over the control socket since the first release: every later one has to understand it.
//!
//! Each line of `tests/transcripts/control-socket.txt` is what something is, and how a release has written it. Lines are added, never
//! changed.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protocol::{Answer, Description, Greeting, Request};
use super::view::Instance;
use crate::command::ReloadReport;
use crate::log_buffer::Logged;

const TRANSCRIPT: &str = include_str!("../../tests/transcripts/control-socket.txt");

/// Whether all that stands here stands there too, where there may be more fields.
fn is_within(own: &Value, other: &Value) -> bool {
    match (own, other) {
        (Value::Array(own), Value::Array(other)) => {
            own.len() == other.len() && own.iter().zip(other).all(|(own, other)| is_within(own, other))
        }
        (Value::Object(own), Value::Object(other)) => own.iter().all(|(name, value)| match other.get(name) {
            Some(other) => is_within(value, other),
            None => false,
        }),
        (own, other) => own == other,
    }
}

fn assert_understood<T: Serialize + DeserializeOwned>(said: &str) {
    let understood: T = serde_json::from_str(said).unwrap_or_else(|error| panic!("{said}: {error}"));
    let now = serde_json::to_value(&understood).expect("JSON");
    let before = serde_json::from_str(said).expect("JSON");
    assert!(is_within(&before, &now), "it was said {said}, and understood {now}");
}

#[test]
fn what_was_said_since_the_first_release_is_understood() {
    for line in TRANSCRIPT.lines() {
        let (what, said) = line.split_once(' ').expect("what it is, and how it was written");
        match what {
            "request" => {
                Request::parse(said.as_bytes()).unwrap_or_else(|refusal| panic!("{said}: {refusal}"));
                assert_understood::<Request>(said);
            }
            "answer" => assert_understood::<Answer>(said),
            "greeting" => assert_understood::<Greeting>(said),
            "description" => assert_understood::<Description>(said),
            "instance" => assert_understood::<Instance>(said),
            "reloaded" => assert_understood::<ReloadReport>(said),
            "logged" => assert_understood::<Logged>(said),
            other => panic!("{other} is nothing that is said"),
        }
    }
}

#[test]
fn every_command_has_been_recorded() {
    let commands =
        super::protocol::COMMANDS.iter().map(|(request, _)| serde_json::from_str::<Value>(request).expect("JSON"));
    let command = |request: &Value| request["command"].as_str().expect("a command").to_owned();
    let recorded = TRANSCRIPT.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("request ")?).ok());
    let recorded: BTreeSet<String> = recorded.map(|request: Value| command(&request)).collect();
    assert_eq!(commands.map(|request| command(&request)).collect::<BTreeSet<_>>(), recorded);
}
