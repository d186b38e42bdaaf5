//! The documents: links lead somewhere, and all of them together stay short enough to be read.

#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// The words of README.md and of `docs` together, without tables that a command prints, and without `docs/internals`. A new chapter
/// shortens others.
const MOST_WORDS: usize = 15_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents in a folder, without those below it.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// Where the document's links lead, without those to other sites. What stands between backquotes is no link.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let prose: String = prose.split('`').step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchors of the document's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings
        .map(|heading| heading.to_lowercase().chars().filter(|c| kept(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

/// Why the link leads nowhere, if it does.
fn broken(document: &Path, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { document.to_owned() } else { document.parent().expect("a folder").join(file) };
    if !target.exists() {
        return Some(format!("{}: there is no {link}", document.display()));
    }
    let is_there =
        anchor.is_empty() || anchors(&fs::read_to_string(&target).expect("text")).contains(&anchor.to_owned());
    (!is_there).then(|| format!("{}: {link}: the document has no such heading", document.display()))
}

/// How many words the text has: what has a letter or a digit, outside of the parts that a command has printed.
fn words(text: &str) -> usize {
    let written = text.split("<!-- generated").enumerate().map(|(index, part)| match index {
        0 => part,
        _ => part.split_once("<!-- end of generated -->").expect("the end of what is generated").1,
    });
    let is_word = |word: &&str| word.contains(|c: char| c.is_alphanumeric());
    written.map(|part| part.split_whitespace().filter(is_word).count()).sum()
}

#[test]
fn every_link_leads_somewhere() {
    let folders = [
        root(),
        root().join("docs"),
        root().join("docs/internals"),
        root().join("deploy"),
        root().join("crates/multi-node-napi"),
    ];
    let documents: Vec<PathBuf> = folders.iter().flat_map(|folder| documents(folder)).collect();
    let links = documents.iter().flat_map(|document| {
        let text = fs::read_to_string(document).expect("text");
        links(&text).into_iter().map(|link| (document.clone(), link)).collect::<Vec<_>>()
    });
    let (mut looked_at, mut broken_links) = (0, Vec::new());
    for (document, link) in links {
        looked_at += 1;
        broken_links.extend(broken(&document, &link));
    }
    assert!(looked_at > 50, "{looked_at} links were found");
    assert!(broken_links.is_empty(), "{}", broken_links.join("\n"));
}

#[test]
fn the_index_names_every_document() {
    let index = fs::read_to_string(root().join("docs/README.md")).expect("the index");
    for (folder, prefix) in [("docs", ""), ("docs/internals", "internals/")] {
        for document in documents(&root().join(folder)) {
            let name = document.file_name().expect("a name").to_string_lossy().into_owned();
            let is_named = name == "README.md" || index.contains(&format!("({prefix}{name}"));
            assert!(is_named, "docs/README.md does not name {prefix}{name}");
        }
    }
}

#[test]
fn the_documents_are_short() {
    let documents = documents(&root().join("docs")).into_iter().chain([root().join("README.md")]);
    let words: usize = documents.map(|path| words(&fs::read_to_string(path).expect("text"))).sum();
    assert!(words <= MOST_WORDS, "README.md and docs have {words} words; at most {MOST_WORDS} are read");
}

/// The names of the master's series in the text, without what they all begin with.
fn series(text: &str) -> Vec<String> {
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    text.split("multi_node_").skip(1).map(|rest| rest[..end(rest)].to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_show_series_that_there_are() {
    let described = fs::read_to_string(root().join("docs/metrics.md")).expect("text");
    let is_described = |name: &str| {
        let of_slots = name.trim_start_matches("slot_");
        [name, of_slots]
            .iter()
            .any(|name| described.contains(&format!("`{name}")) || described.contains(&format!("`multi_node_{name}")))
    };
    for file in ["deploy/prometheus/alerts.yaml", "docs/grafana-dashboard.json"] {
        let shown = series(&fs::read_to_string(root().join(file)).expect("text"));
        assert!(!shown.is_empty(), "{file}");
        for name in shown {
            assert!(is_described(&name), "{file} shows multi_node_{name}, which docs/metrics.md does not have");
        }
    }
}

/// The cells of the tables' rows, by the first one, behind the heading.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text.split_once(heading).expect("the heading").1;
    let rows = section.lines().take_while(|line| !line.starts_with("Ours alone")).filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The row of the README for what a server lost, from its row of docs/benchmarks.md.
fn summary(measured: &[String]) -> Vec<String> {
    let count = |cell: &str| cell.split(" of ").next().unwrap_or_default().to_owned();
    let deploys: f64 = measured[1].parse().expect("a number");
    let websockets = match count(&measured[7]).parse::<f64>() {
        Ok(0.0) => "0".to_owned(),
        Ok(lost) => format!("{:.1}", lost / deploys),
        Err(_) => measured[7].clone(),
    };
    let refused = if measured[12].ends_with("says so") { "" } else { ": not refused" };
    let broken = format!("{}{refused}", count(&measured[12]));
    vec![measured[0].clone(), measured[4].clone(), measured[9].clone(), websockets, broken]
}

#[test]
fn the_readme_shows_the_measured_losses() {
    let readme = fs::read_to_string(root().join("README.md")).expect("text");
    let benchmarks = fs::read_to_string(root().join("docs/benchmarks.md")).expect("text");
    let measured: Vec<_> = rows(&benchmarks, "## Lost requests")
        .iter()
        .filter(|row| row.len() == 13 && row[1] == "6")
        .map(|row| summary(row))
        .collect();
    let shown: Vec<_> = rows(&readme, "## Lost requests").into_iter().skip(1).collect();
    assert!(shown.len() > 10, "{shown:?}");
    for row in shown {
        assert!(measured.contains(&row), "README.md has {row:?}, which docs/benchmarks.md does not have");
    }
}
