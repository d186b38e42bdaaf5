//! The preload: a file of JavaScript that Node.js loads before the program, so that its connections move in a drain.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::finding::finding;
use super::message::OURS;
use crate::program::preload;
use crate::serve::Affinity;
use crate::{environment, runtime_directory};

/// What gives nodes the preload, and why some get none.
#[derive(Debug)]
pub(in crate::workload) struct Preload {
    /// What the log has said last of why there is none.
    warned: Option<String>,
    /// Whether requests have owners, which it looks for.
    affinity: bool,
}

impl Preload {
    pub(in crate::workload) fn new(affinity: bool) -> Preload {
        Preload { warned: None, affinity }
    }

    /// The preload's option for `NODE_OPTIONS`; or why the node gets none.
    pub(in crate::workload) fn option(&mut self, wanted: &Wanted<'_>) -> Result<OsString, String> {
        if let Some(why) = wanted.refusal() {
            // A user who turns it off may not expect this.
            if self.affinity {
                self.warn(&why);
            }
            return Err(why);
        }
        let made = runtime_directory::shared_script("preload", preload(), wanted.nodes_are_others);
        let option = made.and_then(|path| option(&path));
        option.map_err(|error| {
            let why = error.to_string();
            self.warn(&why);
            why
        })
    }

    /// Says once that nodes run without it.
    pub(in crate::workload) fn warn(&mut self, why: &str) {
        if self.warned.as_deref() != Some(why) {
            let affinity =
                if self.affinity { "; --affinity holds for the first request of each connection alone" } else { "" };
            crate::log::warn!(
                why,
                "Node.js nodes run without the preload: a drain closes idle connections, and waits for busy ones{affinity}"
            );
            self.warned = Some(why.to_owned());
        }
    }
}

/// What decides whether a node gets it.
#[derive(Debug)]
pub(in crate::workload) struct Wanted<'a> {
    /// Whether the program's description asks for it.
    pub(in crate::workload) by_option: bool,
    /// Whether the program's own variables turn it off.
    pub(in crate::workload) off_by_env: bool,
    pub(in crate::workload) nodes_are_others: bool,
    pub(in crate::workload) args: &'a [OsString],
    /// What the node's `NODE_OPTIONS` would be without it.
    pub(in crate::workload) node_options: &'a OsStr,
}

impl Wanted<'_> {
    fn refusal(&self) -> Option<String> {
        if !self.by_option {
            return Some("--no-preload".to_owned());
        }
        if self.off_by_env || environment::preload_is_off() {
            return Some("MULTI_NODE_PRELOAD=off".to_owned());
        }
        let restricts = |word: &str| word == "--permission" || word == "--experimental-permission";
        let options = self.node_options.to_string_lossy();
        let words = self.args.iter().map(|arg| arg.to_string_lossy());
        let restricted = words.into_iter().any(|word| restricts(&word)) || options.split_whitespace().any(restricts);
        restricted.then(|| "--permission might forbid Node.js to read its file".to_owned())
    }
}

/// As Node.js reads it: in quotes, with backslashes before quotes and backslashes.
fn option(path: &Path) -> io::Result<OsString> {
    let path = path
        .to_str()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", path.display())))?;
    Ok(format!("--require \"{}\"", path.replace('\\', "\\\\").replace('"', "\\\"")).into())
}

/// The preload's part of a drain, before the worker is to disconnect. `alone`: no other worker could take connections.
pub(super) fn drain(alone: bool) -> Value {
    json!({ "cmd": OURS, "act": "drain", "alone": alone })
}

/// By what requests have owners: `null` is the client's address. What the preload knew of owners holds no more.
pub(super) fn affinity(affinity: &Affinity) -> Value {
    json!({ "cmd": OURS, "act": "affinity", "find": finding(affinity) })
}

/// What became of a connection that the worker has passed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    Refused,
    /// The worker itself is to answer its request, and those of the same client, as long as owners stay.
    Yours,
}

pub(super) fn handoff_answer(seq: u64, outcome: Outcome) -> Value {
    let act = if outcome == Outcome::Taken { "taken" } else { "refused" };
    json!({ "cmd": OURS, "act": act, "seq": seq, "yours": outcome == Outcome::Yours })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_quoted_as_node_reads_it() {
        let cases = [
            ("/run/multi-node/a.js", r#"--require "/run/multi-node/a.js""#),
            (r#"/tmp/a "b"\c.js"#, r#"--require "/tmp/a \"b\"\\c.js""#),
        ];
        for (path, expected) in cases {
            assert_eq!(option(Path::new(path)).expect("UTF-8"), expected);
        }
    }

    #[test]
    fn a_program_that_may_not_read_files_gets_none() {
        let refusal = |by_option, args: &[&str], node_options: &str| {
            let args: Vec<OsString> = args.iter().map(Into::into).collect();
            let node_options = OsStr::new(node_options);
            Wanted { by_option, off_by_env: false, nodes_are_others: false, args: &args, node_options }.refusal()
        };
        assert_eq!(refusal(true, &["server.js"], "--max-old-space-size=100"), None);
        assert_eq!(refusal(false, &["server.js"], "").as_deref(), Some("--no-preload"));
        assert!(refusal(true, &["--permission", "server.js"], "").is_some());
        assert!(refusal(true, &["server.js"], "-r x --experimental-permission").is_some());
    }

    #[test]
    fn the_file_stays_small() {
        assert!(preload().lines().count() <= 400, "it is code that users have to trust");
    }
}
