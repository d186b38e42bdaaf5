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

/// The names that the root of the library's documentation shows, with whether each has an example where it is exported.
fn root_names() -> Vec<(String, bool)> {
    let root = syn::parse_file(&fs::read_to_string(library().join("lib.rs")).expect("text")).expect("Rust");
    let shown = root.items.iter().filter_map(shown);
    shown.flat_map(|(names, has_example)| names.into_iter().map(move |name| (name, has_example))).collect()
}

fn library() -> PathBuf {
    root().join("crates/multi-node/src")
}

/// The names of an item that the documentation shows, and whether it has an example.
fn shown(item: &syn::Item) -> Option<(Vec<String>, bool)> {
    let (visibility, attributes, names) = match item {
        syn::Item::Mod(module) => (&module.vis, &module.attrs, vec![module.ident.to_string()]),
        syn::Item::Use(exported) => (&exported.vis, &exported.attrs, leaves(&exported.tree)),
        syn::Item::Struct(it) => (&it.vis, &it.attrs, vec![it.ident.to_string()]),
        syn::Item::Enum(it) => (&it.vis, &it.attrs, vec![it.ident.to_string()]),
        syn::Item::Type(it) => (&it.vis, &it.attrs, vec![it.ident.to_string()]),
        syn::Item::Fn(it) => (&it.vis, &it.attrs, vec![it.sig.ident.to_string()]),
        _ => return None,
    };
    let docs = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).map(|attribute| &attribute.meta);
    let texts: Vec<String> = docs
        .map(|meta| match meta {
            syn::Meta::NameValue(syn::MetaNameValue {
                value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }),
                ..
            }) => text.value(),
            syn::Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        })
        .collect();
    let is_shown = matches!(visibility, syn::Visibility::Public(_)) && !texts.contains(&"hidden".to_owned());
    is_shown.then(|| (names, texts.iter().any(|text| text.contains("```"))))
}

fn leaves(tree: &syn::UseTree) -> Vec<String> {
    match tree {
        syn::UseTree::Path(path) => leaves(&path.tree),
        syn::UseTree::Name(name) => vec![name.ident.to_string()],
        syn::UseTree::Rename(renamed) => vec![renamed.rename.to_string()],
        syn::UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        syn::UseTree::Glob(_) => vec!["*".to_owned()],
    }
}

/// Every file of the crates whose items the library shows.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// The names that have an example: items where they are defined or exported in the library, and modules at their beginning.
fn with_examples() -> Vec<String> {
    let mut found = Vec::new();
    for path in
        ["multi-node", "multi-node-tls"].iter().flat_map(|name| sources(&root().join("crates").join(name).join("src")))
    {
        let file = syn::parse_file(&fs::read_to_string(&path).expect("text")).expect("Rust");
        let items = file.items.iter().filter_map(shown).filter(|(_, has_example)| *has_example);
        found.extend(items.flat_map(|(names, _)| names));
        let text = fs::read_to_string(&path).expect("text");
        if text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("```")) {
            let name = if path.ends_with("mod.rs") { path.parent().expect("a folder") } else { &path };
            found.push(name.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    found
}

/// The types in modules that programs hold most.
const MAIN_TYPES: [&str; 12] = [
    "Topic",
    "Lease",
    "Limit",
    "Counter",
    "Gauge",
    "Quota",
    "RateLimitLayer",
    "Peer",
    "Framed",
    "Certificates",
    "SessionDatabase",
    "Client",
];

#[test]
fn the_root_of_the_library_shows_what_users_need() {
    let names: Vec<String> = root_names().into_iter().map(|(name, _)| name).collect();
    assert!(!names.contains(&"*".to_owned()), "what is exported is named");
    assert!((20..=30).contains(&names.len()), "{} names: {names:?}", names.len());
}

#[test]
fn each_main_type_of_the_library_has_an_example() {
    let with_examples = with_examples();
    let names = root_names().into_iter().filter(|(_, has_example)| !has_example).map(|(name, _)| name);
    let main = MAIN_TYPES.iter().map(|name| (*name).to_owned());
    let without: Vec<String> = names.chain(main).filter(|name| !with_examples.contains(name)).collect();
    assert!(without.is_empty(), "these have no example: {without:?}");
}

#[test]
fn pictures_keep_the_columns_of_what_they_show() {
    for name in ["docs/top.svg", "docs/deploy.svg"] {
        let picture = fs::read_to_string(root().join(name)).expect("a picture");
        // Browsers make one space of several, unless the picture says otherwise or they are non-breaking ones.
        let is_kept = |line: &&str| line.contains("xml:space=\"preserve\"") || !line.contains("  ");
        let texts: Vec<&str> =
            picture.lines().filter(|line| line.contains("<text") || line.contains("<tspan")).collect();
        let broken: Vec<_> = texts.iter().filter(|line| !is_kept(line)).collect();
        assert!(texts.len() > 5 && broken.is_empty(), "{name}: {broken:?}");
    }
}
