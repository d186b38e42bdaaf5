//! The documents' tables of options say what the code does: the same names, and the same defaults.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;

const LIBRARY: &str = include_str!("../../../../docs/library.md");

/// The sources in which options are declared.
const SOURCES: [&str; 4] =
    [include_str!("../options.rs"), include_str!("launch.rs"), include_str!("metering.rs"), include_str!("origin.rs")];

/// How `describe` calls what these set together.
const OF_BIND: [&str; 3] = ["port", "host", "addresses"];

/// What no program sets for itself: `multi-node run` names its own options by it.
const OF_COMMANDS: [&str; 1] = ["described_as"];

/// Options whose default is no value: what the table says of it, and what `describe`.
const IN_WORDS: [(&str, &str, &str); 16] = [
    ("bind", "none", "0.0.0.0:80"),
    ("heartbeat", "the runtime's", "not set"),
    ("control_path", "in the runtime directory", "off"),
    ("aggregate_gauge", "sum", ""),
    ("buckets", "11 bounds from 5 ms to 10 s", ""),
    ("metrics_source", "none", "not set"),
    ("program", "this program", "as this program was started"),
    ("gateway_program", "this program", "as this program was started"),
    ("args", "as this program was started", "as this program was started"),
    ("slot_args", "none", "not set"),
    ("started_as", "as this program was started", "as this program was started"),
    ("env", "none", ""),
    ("user", "this process's", "as the master"),
    ("group", "this process's", "as the master"),
    ("umask", "this process's", "as the master"),
    ("nodes", "the available cores", "7"),
];

/// The methods by which options are set.
fn methods() -> BTreeSet<String> {
    let method = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("pub fn ")?.split_once(['(', '<'])?;
        rest.contains("mut self").then(|| name.to_owned())
    };
    let lines = SOURCES.iter().flat_map(|source| source.split("impl Options {").skip(1)).flat_map(str::lines);
    let table = Options::table().into_iter().map(|option| option.name.to_owned());
    let all: BTreeSet<String> = lines.filter_map(method).chain(table).collect();
    all.into_iter().filter(|name| !OF_COMMANDS.contains(&name.as_str())).collect()
}

/// The table's options with their defaults. A row may have several, and then has as many defaults, or one for all.
fn table() -> BTreeMap<String, String> {
    let section = LIBRARY.split("\n## Options\n").nth(1).expect("a section of options");
    let rows =
        section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let names: Vec<&str> = cells[0].split(", ").map(|name| name.trim_matches('`')).collect();
        let defaults: Vec<&str> = cells[1].split(", ").collect();
        for (index, name) in names.iter().enumerate() {
            let own = if names.len() == 1 || defaults.len() != names.len() { cells[1] } else { defaults[index] };
            assert!(table.insert((*name).to_owned(), own.to_owned()).is_none(), "{name} stands there twice");
        }
    }
    table
}

/// What `describe` says of a program that sets nothing, on a machine of 7 cores.
fn described() -> BTreeMap<String, String> {
    let settings = Options::new().check(7).expect("defaults are valid");
    settings.listed().into_iter().map(|option| (option.name, option.value)).collect()
}

/// A default as it can be compared: without spaces and marks, and what holds under `multi-node run` alone.
fn plain(default: &str) -> String {
    let default = default.split(';').next().unwrap_or_default().replace(" to ", ",");
    let plain: String = default.chars().filter(|c| !c.is_whitespace() && *c != '`').collect();
    match plain.as_str() {
        "none" | "nolimit" | "" => "off".to_owned(),
        "0" | "0ns" => "0".to_owned(),
        other => other.to_owned(),
    }
}

#[test]
fn the_table_has_every_option_and_no_other() {
    let table: BTreeSet<String> = table().into_keys().collect();
    assert_eq!(table, methods());
}

#[test]
fn describe_lists_every_option_and_no_other() {
    let mut expected = methods();
    for name in OF_BIND {
        expected.remove(name);
    }
    assert_eq!(described().into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_table_has_the_defaults_that_describe_shows() {
    let described = described();
    for (name, default) in table() {
        let Some(value) = described.get(&name) else { continue };
        // It depends on who asks.
        if name == "control" {
            assert_eq!(default, "the program's name");
            continue;
        }
        match IN_WORDS.iter().find(|(option, _, _)| *option == name) {
            Some((_, said, shown)) => assert_eq!((default.as_str(), value.as_str()), (*said, *shown), "{name}"),
            None => assert_eq!(plain(&default), plain(value), "{name}"),
        }
    }
    let table = table();
    assert_eq!((table["port"].as_str(), table["host"].as_str()), ("80", "`0.0.0.0`"));
}
