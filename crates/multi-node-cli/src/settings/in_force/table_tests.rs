//! The command's options, `multi-node.toml` and the library's table of options say the same: names and defaults.

use std::collections::BTreeMap;

use super::*;

const LIBRARY: &str = include_str!("../../../../../docs/library.md");
const RUN: &str = include_str!("../../../../../docs/run.md");
const MACHINES: &str = include_str!("../../../../../docs/machines.md");

/// Whose defaults are others than the library's, or said in other words: as the command says them.
const OF_THE_COMMAND: [(&str, &str); 10] = [
    ("rolling", "false"),
    ("settle", "3s"),
    ("nodes", "auto"),
    ("port", "none"),
    ("bind", "none"),
    ("control", "the name's in the runtime directory, where that can be written to"),
    ("user", "this command's"),
    ("group", "the user's"),
    ("umask", "this command's"),
    ("env", "none"),
];

/// Options of the library that are several here, with their parts.
const PARTS: [(&str, &str, &str); 6] = [
    ("backoff", "backoff", "100 ms"),
    ("backoff-max", "backoff", "30 s"),
    ("crash-loop", "crash_loop", "5"),
    ("crash-loop-within", "crash_loop", "60 s"),
    ("canary-requests", "canary", "100"),
    ("canary-margin", "canary", "0.01"),
];

/// The library's options with the cells of their rows.
fn table() -> BTreeMap<String, (String, String)> {
    let section = LIBRARY.split("\n## Options\n").nth(1).expect("a section of options");
    let rows =
        section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let row = |row: &str| {
        let cells: Vec<String> = row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let names: Vec<String> = cells[0].split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        names.into_iter().map(move |name| (name, (cells[1].clone(), cells[2].clone()))).collect::<Vec<_>>()
    };
    rows.flat_map(row).collect()
}

/// Every option with its default, as the command says it.
fn options() -> Vec<(String, String)> {
    let all = Settings::default().in_force(&Settings::default());
    all.into_iter().map(|option| (option.name, option.value)).filter(|(name, _)| name != "program").collect()
}

/// A default as it can be compared: times in milliseconds, modes without their prefix, and no limit in one word.
fn plain(default: &str) -> String {
    let text: String = default.split(';').next().unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.trim_matches('`').trim_start_matches("0o").to_owned();
    let number = |unit: &str| text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    let ms = number("ms").or_else(|| number("s").map(|s| s * 1000.0)).or_else(|| number("m").map(|m| m * 60_000.0));
    match (ms, text.as_str()) {
        (Some(ms), _) => ms.to_string(),
        (None, "never" | "itisnot" | "off" | "nolimit" | "none") => "off".to_owned(),
        (None, other) => other.to_owned(),
    }
}

#[test]
fn defaults_are_the_library_s_but_for_those_that_are_named_here() {
    let table = table();
    for (name, default) in options() {
        if let Some((_, said)) = OF_THE_COMMAND.iter().find(|(option, _)| *option == name) {
            assert_eq!(default, *said, "--{name}");
        } else if let Some((_, option, part)) = PARTS.iter().find(|(option, _, _)| *option == name) {
            let (of_library, meaning) = &table[*option];
            assert!(of_library.contains(part) || meaning.contains(part), "{option}: {of_library}");
            assert_eq!(plain(&default), plain(part), "--{name}");
        } else if let Some((of_library, _)) = table.get(&name.replace('-', "_")) {
            assert_eq!(plain(&default), plain(of_library), "--{name}: {default}, and {of_library} in the library");
        }
    }
}

#[test]
fn every_option_is_explained() {
    let table = table();
    for (name, _) in options() {
        let is_explained = [RUN, MACHINES].iter().any(|text| text.contains(&format!("--{name}")))
            || table.contains_key(&name.replace('-', "_"));
        let is_part = PARTS.iter().any(|(option, _, _)| *option == name);
        assert!(
            is_explained || is_part,
            "--{name} stands neither in docs/run.md, docs/machines.md nor in docs/library.md's table"
        );
    }
}

#[test]
fn the_file_has_the_same_names() {
    for (name, _) in options() {
        let error = Settings::from_toml(&format!("{name} = {{}}")).err();
        assert!(!error.as_ref().is_some_and(|error| error.contains("no setting")), "{error:?}");
    }
    let error = Settings::from_toml("nonsense = 1").expect_err("no option");
    assert!(error.contains("there is no setting `nonsense`"), "{error}");
}
