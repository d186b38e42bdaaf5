//! Law 12: one plain name for each thing. Names that were retired do not come back, neither as a whole identifier nor as a part of one.

#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Retired names, as the words of an identifier: `heir` refuses `Heirs`, `heir_of` and `HeirList`.
const RETIRED: [(&str, &str); 26] = [
    ("heir", "successor"),
    ("heirs", "successors"),
    ("appoint", "set_successors"),
    ("estate", "what it is: LeftState, InheritedLoop"),
    ("heritage", "what it is: LeftState, InheritedLoop"),
    ("luggage", "SentFds, ReceivedFds"),
    ("parcel", "IdleConn"),
    ("outlet", "HandoffSender"),
    ("intake", "HandoffReceiver"),
    ("rehearsal", "preflight"),
    ("rehearse", "preflight"),
    ("lobby", "IdlePark"),
    ("seat", "ParentInfo"),
    ("taker", "acceptor"),
    ("giver", "sender, handoff"),
    ("entrance", "AcceptControl"),
    ("rewound", "PrefixedIo"),
    ("attendance", "ProcessMonitor"),
    ("outfit", "NodeTemplate"),
    ("happening", "LogEvent"),
    ("vacant", "empty"),
    ("goodbye", "drain_notice"),
    ("doorbell", "wake fd"),
    ("sequel", "RestartDecision"),
    ("desk", "handler"),
    ("ledger", "what it counts"),
];

/// Retired names of which only the whole identifier is refused: their parts are ordinary words.
const RETIRED_WHOLE: [&str; 17] = [
    "Order",
    "OrderError",
    "orders_from_nodes",
    "hand_over",
    "handed_over",
    "handedOver",
    "Wires",
    "Ground",
    "Terms",
    "Doors",
    "Heard",
    "Course",
    "Told",
    "Loose",
    "Book",
    "GaugeRule",
    "GaveUp",
];

#[test]
fn retired_names_do_not_come_back() {
    let mut found = BTreeSet::new();
    let mut looked_at = 0;
    for file in sources() {
        looked_at += 1;
        let text = fs::read_to_string(&file).expect("readable");
        for word in identifiers(&text) {
            let retired = RETIRED.iter().find(|(retired, _)| parts(word).iter().any(|part| part == retired));
            if let Some((_, instead)) = retired {
                found.insert(format!("{}: `{word}`: say {instead}", file.display()));
            } else if RETIRED_WHOLE.contains(&word) {
                found.insert(format!("{}: `{word}` was retired", file.display()));
            }
        }
    }
    assert!(looked_at > 400, "the law looks at {looked_at} files");
    assert!(found.is_empty(), "law 12:\n{}", found.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn identifiers_are_taken_apart() {
    assert_eq!(parts("HeirsOf_node"), ["heirs", "of", "node"]);
    assert_eq!(parts("HTTP_OUTLET"), ["http", "outlet"]);
    assert_eq!(
        identifiers("let their = Heir::new(); // no seat\n\"a lobby\"").collect::<Vec<_>>(),
        ["let", "their", "Heir", "new"]
    );
}

/// Rust and JavaScript of all crates, without this file.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.retain(|file| !file.ends_with("multi-node-it/tests/words.rs"));
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "node_modules" && name != "target" {
                collect(&path, files);
            }
        } else if path
            .extension()
            .is_some_and(|extension| ["rs", "js", "mjs", "ts"].iter().any(|known| extension == *known))
        {
            files.push(path);
        }
    }
}

/// The identifiers of a source, without comments and texts.
fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('*'))
        .map(|line| line.split("//").next().unwrap_or(line));
    let code = code.flat_map(|line| line.split('"').step_by(2));
    let words = code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

/// The words of an identifier, in lower case.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut previous_is_lower = false;
    for c in identifier.chars() {
        if c == '_' || (c.is_ascii_uppercase() && previous_is_lower) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("one at least").push(c.to_ascii_lowercase());
        }
        previous_is_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    parts.retain(|part| !part.is_empty());
    parts
}
