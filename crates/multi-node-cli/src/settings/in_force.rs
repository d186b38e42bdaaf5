//! Which settings are in force, where they come from, and which of them a reload does not change.

use std::collections::BTreeMap;

use clap::{Arg, Args, Command};
use multi_node::commands::{AppliedBy, NotApplied};
use multi_node::options::{OptionInForce, Origin};
use serde_json::Value;

use super::Settings;

/// What concerns the program, and is looked up again at each reload.
const OF_THE_PROGRAM: [&str; 12] = [
    "env",
    "fdname",
    "no-preload",
    "primary",
    "program",
    "ready",
    "ready-after",
    "ready-fd",
    "ready-http",
    "sockets",
    "stop-signal",
    "watchdog",
];

/// What the listening sockets were made with, and how what nodes write is passed on: an upgrade takes these over as they are.
const OF_THE_START: [&str; 6] = ["backlog", "bind", "defer-accept", "log", "port", "unix-mode"];

impl Settings {
    /// The long name of every setting, as the command line and the file have it.
    pub(super) fn names() -> Vec<String> {
        Settings::augment_args(Command::new("run")).get_arguments().map(name).collect()
    }

    /// Every setting, by its long name: what was typed, then what the file says, then the default.
    pub(crate) fn in_force(&self, typed: &Settings) -> Vec<OptionInForce> {
        let (all, typed) = (self.said(), typed.said());
        let command = Settings::augment_args(Command::new("run"));
        let options = command.get_arguments().map(|arg| {
            let name = name(arg);
            match (all.get(&name), typed.contains_key(&name)) {
                (Some(value), true) => OptionInForce::new(name, value, Origin::CommandLine),
                (Some(value), false) => OptionInForce::new(name, value, Origin::File),
                (None, _) => OptionInForce::new(name, default(arg), Origin::Default),
            }
        });
        options.collect()
    }

    /// What differs from these settings, which are in force, and is not changed by a reload.
    pub(crate) fn not_applied(&self, in_force: &Settings) -> Vec<NotApplied> {
        let (old, new) = (in_force.said(), self.said());
        let names = old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>();
        let changed = names.into_iter().filter(|name| !OF_THE_PROGRAM.contains(&name.as_str()));
        let changed = changed.filter(|name| old.get(*name) != new.get(*name));
        changed.map(|name| NotApplied::new(name, old.get(name).cloned(), new.get(name).cloned(), by(name))).collect()
    }

    /// What is said of settings, by their long names; of variables the names alone.
    pub(crate) fn said(&self) -> BTreeMap<String, String> {
        let Ok(Value::Object(settings)) = serde_json::to_value(self) else { return BTreeMap::new() };
        settings.into_iter().filter_map(|(name, value)| Some((name, text(&value)?))).collect()
    }
}

fn by(name: &str) -> AppliedBy {
    match name {
        "nodes" => AppliedBy::Scale,
        name if OF_THE_START.contains(&name) => AppliedBy::Restart,
        _ => AppliedBy::Upgrade,
    }
}

fn name(arg: &Arg) -> String {
    arg.get_long().unwrap_or(arg.get_id().as_str()).to_owned()
}

/// What stands at the end of the option's help: `[default: 30s]`.
fn default(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default = help.rsplit_once("[default: ").and_then(|(_, default)| default.strip_suffix(']'));
    default.unwrap_or("none").to_owned()
}

/// `None`: nothing is said.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) => Some(list.iter().filter_map(text).collect::<Vec<_>>().join(" ")),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod table_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Settings {
        Settings::from_toml(text).expect("valid")
    }

    #[test]
    fn a_reload_names_what_it_does_not_apply() {
        let before = file("nodes = 2\nport = 8080\ndrain-timeout = '30s'\nready-after = '1s'\nlog-format = 'json'");
        let after = file("nodes = 'auto'\nport = 8081\ndrain-timeout = '5s'\nready-after = '2s'\nuser = 1000");
        let shown: Vec<_> = after.not_applied(&before).iter().map(ToString::to_string).collect();
        let expected = [
            "drain-timeout: 30s is in force, 5s is wanted; an upgrade applies it",
            "log-format: json is in force, the default is wanted; an upgrade applies it",
            "nodes: 2 is in force, auto is wanted; `scale` applies it",
            "port: 8080 is in force, 8081 is wanted; a restart of the whole applies it",
            "user: the default is in force, 1000 is wanted; an upgrade applies it",
        ];
        assert_eq!(shown, expected);
        assert!(before.not_applied(&before).is_empty());
    }

    #[test]
    fn every_setting_is_listed_with_where_it_comes_from() {
        let typed =
            Settings { nodes: "3".parse().ok(), env: vec![("TOKEN".into(), "secret".into())], ..Settings::default() };
        let all = typed.clone().or(file("nodes = 2\nmax-memory = '512MiB'\nstop-signal = 'QUIT'\nunix-mode = '660'"));
        let listed = all.in_force(&typed);
        let shown = |name: &str| {
            let option = listed.iter().find(|option| option.name == name).unwrap_or_else(|| panic!("no {name}"));
            (option.value.as_str(), option.from)
        };
        assert_eq!(shown("nodes"), ("3", Origin::CommandLine));
        assert_eq!(shown("env"), ("TOKEN", Origin::CommandLine));
        assert_eq!(shown("max-memory"), ("512.0 MiB", Origin::File));
        assert_eq!((shown("stop-signal"), shown("unix-mode")), (("SIGQUIT", Origin::File), ("660", Origin::File)));
        assert_eq!(shown("drain-timeout"), ("30s", Origin::Default));
        assert_eq!(shown("max-age"), ("never", Origin::Default));
        assert_eq!(shown("program"), ("none", Origin::Default));
        let said = all.said();
        assert!(said.keys().all(|name| listed.iter().any(|option| option.name == *name)), "{said:?}");
    }

    /// What an upgrade applies: the options of the master.
    const OF_THE_MASTER: [&str; 40] = [
        "affinity",
        "backoff",
        "backoff-max",
        "canary",
        "canary-margin",
        "canary-requests",
        "cluster",
        "commands-from-nodes",
        "control",
        "crash-loop",
        "crash-loop-within",
        "drain-timeout",
        "group",
        "hang-timeout",
        "insecure-bus",
        "join",
        "join-certificate",
        "join-certificate-key",
        "join-credentials",
        "join-nkey",
        "join-root-certificates",
        "log-format",
        "log-full",
        "machine",
        "max-age",
        "max-memory",
        "max-nodes",
        "max-requests",
        "metrics",
        "name",
        "peers",
        "remote-commands",
        "restart",
        "rolling",
        "settle",
        "shutdown-delay",
        "start-timeout",
        "surge",
        "umask",
        "user",
    ];

    #[test]
    fn it_is_decided_of_every_setting_what_applies_it() {
        let decided = [&OF_THE_PROGRAM[..], &OF_THE_START, &OF_THE_MASTER, &["nodes"]].concat();
        let mut names = Settings::names();
        names.sort_unstable();
        let mut sorted: Vec<_> = decided.into_iter().map(str::to_owned).collect();
        sorted.sort_unstable();
        assert_eq!(sorted, names);
    }
}
