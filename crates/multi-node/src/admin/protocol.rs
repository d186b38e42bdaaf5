//! What is said over the control socket: one JSON value a line, each request answered before the next is read.

use super::text::in_words;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Slot;
use crate::options::OptionInForce;

/// The version of this protocol. Within one version only commands and fields are added.
pub(super) const PROTOCOL: u32 = 1;

/// What this release does beside that.
pub(super) const CAPABILITIES: [&str; 1] = ["skips_unknown"];

/// The longest request, in bytes.
pub(super) const LONGEST_REQUEST: usize = 64 * 1024;

/// What a client wants: `{"command":"scale","nodes":4}`. A command without fields may be its bare name: `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// Who this is, what it is set to, and which commands it takes; answered by a [`Description`].
    Describe,
    /// How the program is; answered by an [`Instance`](super::Instance).
    Status,
    /// A stream of [`Instance`](super::Instance)s: the present one, and one for each change, at most one in 100 ms.
    Watch,
    /// Replaces every node; answered by [`Reloaded`](super::Reloaded) when the last old one has ended.
    Reload {
        /// Without it, the answer comes when the reload has begun, and is `null`.
        #[serde(default = "yes")]
        wait: bool,
        /// Kills what drains of older generations, where it would have to wait for them.
        #[serde(default)]
        now: bool,
    },
    /// Replaces the whole program, the master included, by the one that is on disk now. An answer means that it has failed:
    /// after a success the connection ends, and who answers under the name has begun later.
    Upgrade,
    /// Replaces one slot's node by another of the same program; answered by [`Replaced`](super::Replaced) when the old one
    /// has ended.
    Restart {
        /// The slot.
        slot: Slot,
    },
    /// Changes the number of nodes; answered when the new ones serve, or the surplus ones have ended. One of the fields
    /// is needed.
    Scale {
        /// How many there shall be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nodes: Option<usize>,
        /// How many more, or fewer, there shall be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<i64>,
    },
    /// Ends the program; answered when the last node has ended.
    Stop {
        /// Without `shutdown_delay` and drain.
        #[serde(default)]
        now: bool,
    },
    /// Sends a signal to nodes; answered when it is sent.
    Signal {
        /// Its name, with or without `SIG`: `USR1`.
        signal: String,
        /// The slot whose node is meant; all where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<Slot>,
    },
    /// The last lines of the log; with `follow`, a stream of those and all that come.
    Logs {
        /// Lines of this slot only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<Slot>,
        /// How many of the lines that have been kept.
        #[serde(default = "default_lines")]
        lines: usize,
        /// Whether to continue with new lines.
        #[serde(default)]
        follow: bool,
    },
    /// Which versions of the protocol the client speaks, and what it does beside them; answered by a [`Greeting`] of the program's.
    Hello {
        /// The versions.
        #[serde(default)]
        versions: ProtocolVersions,
        /// Names that mean nothing to a program which does not know them.
        #[serde(default)]
        capabilities: Vec<String>,
    },
}

/// A range of versions of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProtocolVersions {
    /// The first one.
    pub lowest: u32,
    /// The last one.
    pub highest: u32,
}

impl Default for ProtocolVersions {
    fn default() -> ProtocolVersions {
        ProtocolVersions { lowest: PROTOCOL, highest: PROTOCOL }
    }
}

/// The answer to `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Greeting {
    /// The versions that the program speaks.
    #[serde(default)]
    pub versions: ProtocolVersions,
    /// The highest version that both sides speak; `null` where there is none.
    #[serde(default)]
    pub version: Option<u32>,
    /// What the program does beside that.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

impl Greeting {
    /// The answer to a client that speaks these versions.
    pub(super) fn to(client: ProtocolVersions) -> Greeting {
        let own = ProtocolVersions::default();
        let highest = own.highest.min(client.highest);
        let version = (highest >= own.lowest.max(client.lowest)).then_some(highest);
        Greeting { versions: own, version, capabilities: CAPABILITIES.map(str::to_owned).to_vec() }
    }
}

impl Request {
    /// What a client of this release says first.
    pub(super) fn hello() -> Request {
        let capabilities = CAPABILITIES.map(str::to_owned).to_vec();
        Request::Hello { versions: ProtocolVersions::default(), capabilities }
    }
}

fn yes() -> bool {
    true
}

fn default_lines() -> usize {
    100
}

impl Request {
    /// Reads one line.
    pub(super) fn parse(line: &[u8]) -> Result<Request, Refusal> {
        let line = line.trim_ascii();
        let is_word = !line.is_empty() && line.iter().all(u8::is_ascii_alphabetic);
        let request = match is_word {
            true => serde_json::from_value(serde_json::json!({ "command": String::from_utf8_lossy(line) })),
            false => serde_json::from_slice(line),
        };
        request.map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            let why = format!("this is no request: {}; send `describe` to see what is", in_words(message));
            Refusal { code: "bad_request".to_owned(), why }
        })
    }
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// `{"ok":…}`: it was done.
    Ok(Value),
    /// `{"refused":{"code":"busy","why":"…"}}`: nothing was begun.
    Refused(Refusal),
    /// `{"failed":{"code":"failed","why":"…"}}`: it was begun, and did not succeed.
    Failed(Refusal),
    /// `{"event":…}`: one of a stream, which continues until the client closes the connection or the program ends.
    Event(Value),
}

impl Answer {
    /// Reads a line; `None` for an answer of a kind that this release does not know.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Answer>, serde_json::Error> {
        const KINDS: [&str; 4] = ["ok", "refused", "failed", "event"];
        let error = match serde_json::from_slice(line) {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        let kind = serde_json::from_slice::<serde_json::Map<String, Value>>(line).ok();
        let is_later = kind.is_some_and(|map| map.len() == 1 && map.keys().all(|kind| !KINDS.contains(&kind.as_str())));
        if is_later { Ok(None) } else { Err(error) }
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// For programs: `busy`, `out_of_range`, `bad_request`…
    pub code: String,
    /// For people: what was wrong and what can be done about it.
    pub why: String,
}

/// The answer to `describe`. No value of an environment variable is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// The version of the protocol.
    pub protocol: u32,
    /// How requests and answers are written, for people.
    pub how: String,
    /// The name of the control socket.
    pub name: String,
    /// The master's process.
    pub pid: u32,
    /// The version of the library.
    pub version: String,
    /// What is served, as it was bound.
    pub addresses: Vec<String>,
    /// The directory with the files of its leases, which `multi-node lock` locks; none if nodes have another user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<PathBuf>,
    /// The options in force.
    pub options: Vec<OptionInForce>,
    /// The commands that are understood.
    pub commands: Vec<CommandHelp>,
}

/// One command, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommandHelp {
    /// A request as it may be sent.
    pub request: String,
    /// What it does.
    pub does: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_json_or_a_word() {
        let parse = |text: &str| Request::parse(text.as_bytes());
        assert_eq!(parse("status"), Ok(Request::Status));
        assert_eq!(parse("  reload \r\n"), Ok(Request::Reload { wait: true, now: false }));
        assert_eq!(parse(r#"{"command":"scale","by":-1}"#), Ok(Request::Scale { nodes: None, by: Some(-1) }));
        assert_eq!(parse("stop"), Ok(Request::Stop { now: false }));
        let logs = Request::Logs { slot: Some(Slot(2)), lines: 100, follow: true };
        assert_eq!(parse(r#"{"command":"logs","slot":2,"follow":true,"later":1}"#), Ok(logs));
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        for text in
            ["", "{}", "[]", "7", "rm", "{\"command\":\"rm\"}", "{\"command\":\"scale\",\"nodes\":-1}", "\u{0}\u{7f}"]
        {
            let refusal = Request::parse(text.as_bytes()).expect_err(text);
            assert_eq!(refusal.code, "bad_request", "{text:?}");
        }
        let why = Request::parse(b"relaod").expect_err("a typo").why;
        assert!(why.contains("`relaod` is not known; expected one of `describe`, `status`"), "{why}");
    }

    #[test]
    fn no_reason_names_a_type() {
        let requests = [
            "7",
            "[]",
            "{}",
            "{\"command\":\"scale\",\"nodes\":1.5}",
            "{\"command\":\"scale\",\"nodes\":-1}",
            "{\"command\":\"signal\"}",
            "{\"command\":\"stop\",\"now\":1}",
            "{\"command\":\"restart\",\"slot\":\"a\"}",
        ];
        for text in requests {
            let why = Request::parse(text.as_bytes()).expect_err(text).why;
            for word in ["usize", "u16", "u32", "i64", "enum ", "struct ", "variant", "invalid type", "at line"] {
                assert!(!why.contains(word), "{text}: {why}");
            }
        }
    }

    #[test]
    fn answers_of_a_later_release_are_passed_over_and_what_is_no_answer_is_not() {
        let parse = |text: &str| Answer::parse(text.as_bytes());
        assert_eq!(parse(r#"{"progress":{"done":3}}"#).expect("an answer"), None);
        assert_eq!(parse(r#"{"ok":7}"#).expect("an answer"), Some(Answer::Ok(7.into())));
        assert_eq!(parse(r#"{"refused":{"code":"a","why":"b","hint":"c"}}"#).map(|it| it.is_some()).ok(), Some(true));
        for text in ["7", "[]", "{}", r#"{"failed":7}"#, r#"{"a":1,"b":2}"#, "HTTP/1.1 200 OK"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_highest_common_version_is_agreed_upon() {
        let client = |lowest, highest| Greeting::to(ProtocolVersions { lowest, highest }).version;
        assert_eq!((client(1, 1), client(1, 9), client(2, 9)), (Some(1), Some(1), None));
        let hello =
            Request::parse(br#"{"command":"hello","versions":{"lowest":1,"highest":9,"mood":1},"capabilities":["x"]}"#);
        let versions = ProtocolVersions { lowest: 1, highest: 9 };
        assert_eq!(hello, Ok(Request::Hello { versions, capabilities: vec!["x".to_owned()] }));
        assert!(matches!(Request::parse(b"hello"), Ok(Request::Hello { .. })));
    }

    #[test]
    fn a_request_reads_back_what_it_writes() {
        let signal = Request::Signal { signal: "USR1".to_owned(), slot: Some(Slot(1)) };
        for request in [Request::Watch, Request::Stop { now: true }, signal] {
            let line = serde_json::to_vec(&request).expect("JSON");
            assert_eq!(Request::parse(&line), Ok(request));
        }
    }
}
