//! What is said over the control socket: one JSON value a line, each request answered before the next is read.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::in_words;
#[cfg(multi_process)]
use crate::command::Command;
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
    /// The machines of the cluster, this one first; answered by a list of [`MachineInfo`](super::MachineInfo).
    Machines,
    /// A stream of [`Instance`](super::Instance)s: the present one, and one for each change, at most one in 100 ms.
    Watch,
    /// Replaces every node; answered by [`ReloadReport`](crate::commands::ReloadReport) when the last old one has ended.
    Reload {
        /// Without it, the answer comes when the reload has begun, and is `null`.
        #[serde(default = "yes")]
        wait: bool,
        /// Kills what drains of older generations, where it would have to wait for them.
        #[serde(default)]
        now: bool,
    },
    /// Has another machine reload, which has to allow it (`Join::remote_commands`); answered by its
    /// [`ReloadReport`](crate::commands::ReloadReport).
    ReloadMachine {
        /// The machine's name.
        machine: String,
    },
    /// Replaces the whole program, the master included, by the one that is on disk now. An answer means that it has failed:
    /// after a success the connection ends, and who answers under the name has begun later.
    Upgrade,
    /// Replaces one slot's node by another of the same program; answered by [`Replacement`](crate::commands::Replacement) when the old one
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

#[cfg(multi_process)]
impl Request {
    /// The command to the nodes that the request is, where this number of nodes is wanted so far. `None`: it is no command.
    pub(super) fn command(&self, wanted: usize) -> Result<Option<Command>, Refusal> {
        Ok(Some(match self {
            Request::Reload { now: false, .. } => Command::Reload,
            Request::Reload { now: true, .. } => Command::ReloadNow,
            Request::Upgrade => Command::Upgrade,
            Request::Restart { slot } => Command::Restart { slot: *slot },
            Request::Scale { nodes, by } => Command::Scale { nodes: scaled(wanted, *nodes, *by)? },
            Request::Stop { now } => Command::Shutdown { now: *now },
            Request::Signal { signal, slot } => Command::Signal { slot: *slot, signal: signal_number(signal)? },
            Request::Describe
            | Request::Status
            | Request::Machines
            | Request::ReloadMachine { .. }
            | Request::Watch
            | Request::Logs { .. }
            | Request::Hello { .. } => return Ok(None),
        }))
    }
}

#[cfg(multi_process)]
fn scaled(wanted: usize, nodes: Option<usize>, by: Option<i64>) -> Result<usize, Refusal> {
    match (nodes, by) {
        (Some(nodes), None) => Ok(nodes),
        (None, Some(by)) => {
            let nodes = i64::try_from(wanted).unwrap_or(i64::MAX).saturating_add(by);
            Ok(usize::try_from(nodes).unwrap_or(0))
        }
        _ => Err(bad_request("`scale` needs either `nodes` or `by`")),
    }
}

#[cfg(multi_process)]
fn signal_number(name: &str) -> Result<i32, Refusal> {
    use crate::sys::signal;
    signal::number(name)
        .ok_or_else(|| bad_request(&format!("{name:?} names no signal; expected one of {}", signal::names())))
}

pub(super) const COMMANDS: [(&str, &str); 13] = [
    (
        r#"{"command":"hello","versions":{"lowest":1,"highest":1},"capabilities":[]}"#,
        "which versions of this protocol both sides speak; a client that has only one need not ask",
    ),
    (r#"{"command":"describe"}"#, "this"),
    (r#"{"command":"status"}"#, "how the program is, slot by slot"),
    (r#"{"command":"machines"}"#, "the machines that are joined, and what runs on each, as it was at most 8 s ago"),
    (r#"{"command":"watch"}"#, "a stream: the status, again whenever it changes"),
    (
        r#"{"command":"reload","wait":true,"now":false}"#,
        "replaces every node by one of the program as it is on disk now; with `now` without waiting for older ones to drain",
    ),
    (r#"{"command":"reload_machine","machine":"beta"}"#, "has another machine reload, if that allows it"),
    (
        r#"{"command":"upgrade"}"#,
        "replaces the master too, in its process; after a success the connection ends, and the next program answers",
    ),
    (r#"{"command":"restart","slot":0}"#, "replaces one slot's node by another of the same program"),
    (
        r#"{"command":"scale","nodes":4}"#,
        "changes the number of nodes; `by` in place of `nodes`: so many more or fewer",
    ),
    (r#"{"command":"signal","signal":"USR1","slot":0}"#, "sends the slot's node a signal; without `slot`, every node"),
    (r#"{"command":"logs","slot":0,"lines":100,"follow":true}"#, "the last lines of the log; with `follow` a stream"),
    (r#"{"command":"stop","now":false}"#, "ends the program; with `now` without a drain"),
];

pub(super) fn bad_request(why: &str) -> Refusal {
    Refusal { code: "bad_request".to_owned(), why: why.to_owned() }
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
            bad_request(&format!("this is no request: {}; send `describe` to see what is", in_words(message)))
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
