//! Law 12: one plain name for each thing. Names that were retired do not come back, neither as a whole identifier nor as a part of one.
//! Comments and documents are in plain English: a short list of phrases does not come back either.

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
    ("luggage", "file descriptors"),
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

/// Phrases that make a reader read twice. Name the subject, and say what it does: `the master sends it`, `it reports that`, `on its own`.
const PHRASES: [&str; 12] = [
    "of itself",
    "by itself",
    "is told",
    "are told",
    "was told",
    "whoever",
    "nobody else",
    "so many",
    "at its begin",
    "for ready",
    "is heard",
    "is to be",
];

/// Paths whose prose is not held to the list, each with the reason. Remove a line when its prose is mended.
const NOT_YET: [(&str, &str); 3] = [
    ("CHANGELOG.md", "a record"),
    ("crates/multi-node-cli/src/commands", "the comments are the texts of `--help`"),
    ("crates/multi-node-cli/src/settings.rs", "the comments are the texts of `--help`"),
];

#[test]
fn comments_and_documents_are_in_plain_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    let (mut looked_at, mut paragraphs) = (0, 0);
    for file in sources().into_iter().chain(documents(&root)) {
        let file = file.canonicalize().expect("a path");
        let path = file.strip_prefix(root.canonicalize().expect("a path")).expect("below the root").to_owned();
        if NOT_YET.iter().any(|(not_yet, _)| path.starts_with(not_yet)) {
            continue;
        }
        looked_at += 1;
        let text = fs::read_to_string(&file).expect("readable");
        let is_document = path.extension().is_some_and(|extension| extension == "md");
        for (line, prose) in if is_document { paragraphs_of(&text) } else { comments_of(&text) } {
            paragraphs += 1;
            let has = |phrase: &&&str| contains_words(&prose, phrase);
            found.extend(PHRASES.iter().filter(has).map(|phrase| format!("{}:{line}: \"{phrase}\"", path.display())));
        }
    }
    assert!(looked_at > 400 && paragraphs > 4000, "the law looks at {looked_at} files and {paragraphs} paragraphs");
    assert!(found.is_empty(), "law 12, say it plainly:\n{}", found.join("\n"));
}

#[test]
fn prose_is_found() {
    let source = "let a = \"so many\"; // It is\n/// told `so many` times.\n/// Twice.\nlet b = 1;\n * Whoever.\n";
    let comments = comments_of(source);
    assert_eq!(comments, [(1, "it is told … times. twice.".to_owned()), (5, "whoever.".to_owned())]);
    assert!(contains_words(&comments[0].1, "is told") && !contains_words(&comments[0].1, "so many"));
    assert!(!contains_words("for readiness", "for ready"));
    assert_eq!(paragraphs_of("# A\n\nis\ntold\n"), [(1, "# a".to_owned()), (3, "is told".to_owned())]);
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

/// The paragraphs of a document, each with the number of its first line.
fn paragraphs_of(text: &str) -> Vec<(usize, String)> {
    gather(text.lines().map(|line| Some(line).filter(|line| !line.trim().is_empty())))
}

/// The comments of a source, adjacent lines together, each with the number of its first line.
fn comments_of(text: &str) -> Vec<(usize, String)> {
    gather(text.lines().map(|line| {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") || trimmed.starts_with("/*") || trimmed.starts_with("* ") {
            return Some(trimmed.trim_start_matches(['/', '!', '*']));
        }
        let (code, comment) = line.split_once(" // ")?;
        code.matches('"').count().is_multiple_of(2).then_some(comment)
    }))
}

/// Adjacent lines as one text in lower case, without what stands between backticks: names, and lines of the log.
fn gather<'a>(lines: impl Iterator<Item = Option<&'a str>>) -> Vec<(usize, String)> {
    let mut gathered: Vec<(usize, String)> = Vec::new();
    let mut adjacent = false;
    for (index, line) in lines.enumerate() {
        match (line, gathered.last_mut()) {
            (Some(line), Some((_, text))) if adjacent => *text = format!("{text} {line}"),
            (Some(line), _) => gathered.push((index + 1, line.to_owned())),
            (None, _) => {}
        }
        adjacent = line.is_some();
    }
    let prose = |text: &str| text.split('`').step_by(2).collect::<Vec<_>>().join("…");
    let plain = |text: &str| prose(text).split_whitespace().collect::<Vec<_>>().join(" ");
    gathered.into_iter().map(|(line, text)| (line, plain(&text).to_lowercase())).collect()
}

/// Whether the text has the phrase as whole words.
fn contains_words(text: &str, phrase: &str) -> bool {
    let is_edge = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
    text.match_indices(phrase)
        .any(|(at, _)| is_edge(text[..at].chars().next_back()) && is_edge(text[at + phrase.len()..].chars().next()))
}

/// The documents: of the whole, of `docs` and of the crates.
fn documents(root: &Path) -> Vec<PathBuf> {
    let crates = fs::read_dir(root.join("crates")).expect("a folder").flatten().map(|entry| entry.path());
    let folders = [root.to_owned(), root.join("docs"), root.join("docs/internals")].into_iter().chain(crates);
    let entries = folders.flat_map(|folder| fs::read_dir(folder).expect("a folder").flatten());
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
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
