//! The laws of the house (ARCHITECTURE.md), held by reading the sources: each says what must be absent, and why.

#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below `src/`, in the internal crates with their names before it (`fleet/`, `serve/`…), and its code
/// without comments and tests.
struct Source {
    path: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let crates = [
        ("multi-node", ""),
        ("multi-node-bus", "bus/"),
        ("multi-node-fleet", "fleet/"),
        ("multi-node-limits", "limits/"),
        ("multi-node-metrics", "metrics/"),
        ("multi-node-nats", "nats/"),
        ("multi-node-process", "process/"),
        ("multi-node-run", "run/"),
        ("multi-node-serve", "serve/"),
        ("multi-node-sessions", "sessions/"),
        ("multi-node-supervisor", "master/"),
        ("multi-node-sys", "sys/"),
        ("multi-node-tls", "tls_crate/"),
    ];
    crates.into_iter().flat_map(|(name, prefix)| sources_of(name, prefix)).collect()
}

fn sources_of(name: &str, prefix: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let read = |file: PathBuf| {
        let path = format!("{prefix}{}", file.strip_prefix(&root).expect("below the root").display());
        Source { path, code: code(&fs::read_to_string(file).expect("readable")) }
    };
    files.into_iter().map(read).filter(|source| !is_test(&source.path)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn is_test(path: &str) -> bool {
    let stem = |part: &str| part.trim_end_matches(".rs").to_owned();
    path.split('/').map(stem).any(|part| {
        part == "tests" || part.ends_with("_tests") || matches!(part.as_str(), "proptests" | "properties" | "world")
    })
}

/// The code without line comments, and without what follows the first `#[cfg(test)]` that opens a module.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let code = code.split("#[cfg(all(test, multi_process))]\nmod tests {").next().unwrap_or(code);
    code.lines().map(|line| without_texts(line.split("//").next().unwrap_or(line))).collect::<Vec<_>>().join("\n")
}

/// The line without what stands between quotes.
fn without_texts(line: &str) -> String {
    line.replace("\\\"", "").split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

fn below<'a>(sources: &'a [Source], folders: &[&str]) -> impl Iterator<Item = &'a Source> {
    sources.iter().filter(move |source| folders.iter().any(|folder| source.path.starts_with(folder)))
}

/// No source that is looked at has any of the words.
fn absent<'a>(law: &str, sources: impl Iterator<Item = &'a Source>, words: &[&str]) {
    let mut looked_at = 0;
    let mut broken = Vec::new();
    for source in sources {
        looked_at += 1;
        for (number, line) in source.code.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{}:{}: `{word}` in {}", source.path, number + 1, line.trim()));
            }
        }
    }
    assert!(looked_at > 0, "the law looks at nothing: {law}");
    assert!(broken.is_empty(), "{law}\n{}", broken.join("\n"));
}

const PURE: [&str; 18] = [
    "process/descriptors.rs",
    "options.rs",
    "options/",
    "process/address.rs",
    "process/error.rs",
    "fleet/",
    "process/control/message.rs",
    "process/family/ending.rs",
    "process/family/kinship.rs",
    "process/family/message.rs",
    "process/family/token.rs",
    "admin/protocol.rs",
    "admin/view.rs",
    "metrics/",
    "monitoring/slot_counters.rs",
    "monitoring/page.rs",
    "run/program/environment.rs",
    "master/supervisor/plan.rs",
];

#[test]
fn pure_files_decide_and_do_nothing() {
    let sources = sources();
    absent(
        "law 1: pure files can be tested by the thousand, since they know no runtime, process, environment, socket or clock",
        below(&sources, &PURE).chain(below(&sources, &["serve/gate.rs"])),
        &["tokio", "std::process", "std::env", "env::", "rustix", "TcpListener", "TcpStream", "UdpSocket", "::now()"],
    );
}

/// The crates of ours that a crate depends on.
fn own(name: &str) -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("readable");
    let named = manifest.lines().filter(|line| line.starts_with("multi-node"));
    named.map(|line| line.split(['.', ' ']).next().expect("a name").to_owned()).collect()
}

#[test]
fn master_and_node_meet_only_in_what_they_share() {
    let sources = sources();
    let lower =
        ["bus", "fleet", "limits", "metrics", "process", "serve", "sys"].map(|name| format!("multi-node-{name}"));
    assert_eq!(own("multi-node-supervisor"), lower, "law 2: the supervisor knows no node");
    assert_eq!(
        own("multi-node-process"),
        ["fleet", "metrics", "serve", "sys"].map(|name| format!("multi-node-{name}"))
    );
    absent(
        "law 2: the node never names the supervisor",
        below(&sources, &["node/"]),
        &["multi_node_supervisor", "crate::lead", "crate::plan"],
    );
}

#[test]
fn serving_could_stand_alone() {
    let sources = sources();
    assert_eq!(
        own("multi-node-serve"),
        ["multi-node-sys", "multi-node-tls"],
        "law 3: `serve` depends on `sys` alone, and on `tls` if it has TLS"
    );
    assert!(own("multi-node-tls").is_empty(), "law 3: `tls` depends on nothing of ours");
    absent(
        "law 3: `tls` waits for nothing and reads no clock",
        below(&sources, &["tls_crate/"]),
        &["tokio", "TcpStream", "::now()"],
    );
    assert_eq!(
        own("multi-node-sessions"),
        ["multi-node-sys", "multi-node-sessions"],
        "law 3: `sessions` can be used without nodes"
    );
    assert!(own("multi-node-sys").is_empty(), "law 3: `sys` depends on nothing of ours");
    assert!(own("multi-node-fleet").is_empty(), "law 1: `fleet` depends on nothing of ours");
    assert_eq!(own("multi-node-bus"), ["multi-node-fleet"], "the bus gets its sockets and members from who uses it");
    assert_eq!(
        own("multi-node-nats"),
        ["multi-node-bus", "multi-node-fleet", "multi-node-sys", "multi-node-nats"],
        "a gateway is a process of the bus, and knows no master"
    );
    absent(
        "law 1: the rules of a gateway and its frames wait for nothing and read no clock",
        below(&sources, &["nats/gateway/", "nats/frame.rs", "nats/subject.rs"]),
        &["tokio", "async_nats", "::now()", "std::env"],
    );
    assert_eq!(own("multi-node-metrics"), ["multi-node-fleet"], "law 1: `metrics` depends on what is pure alone");
    absent("law 3: `mesh` knows no `serve`", below(&sources, &["process/mesh/"]), &["crate::serve"]);
}

/// The name and the manifest of each crate.
fn manifests() -> Vec<(String, String)> {
    let crates = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("a folder");
    let manifest = |folder: fs::DirEntry| {
        let text = fs::read_to_string(folder.path().join("Cargo.toml")).ok()?;
        Some((folder.file_name().to_string_lossy().into_owned(), text))
    };
    crates.flatten().filter_map(manifest).collect()
}

#[test]
fn who_does_not_ask_for_nats_does_not_carry_it() {
    let with = |start: &str| {
        let has = |text: &str| text.lines().any(|line| line.starts_with(start));
        let mut names: Vec<String> =
            manifests().into_iter().filter(|(_, text)| has(text)).map(|(name, _)| name).collect();
        names.sort();
        names
    };
    assert_eq!(with("async-nats"), ["multi-node-nats"], "one crate speaks to NATS");
    assert_eq!(
        with("multi-node-nats"),
        ["multi-node", "multi-node-it", "multi-node-nats"],
        "the tests, and who has the feature"
    );
    let (_, library) = manifests().into_iter().find(|(name, _)| name == "multi-node").expect("the library");
    assert!(library.contains("multi-node-nats = { workspace = true, optional = true }"), "only by its feature");
    let default = library.lines().find(|line| line.starts_with("default = ")).expect("features");
    assert!(!default.contains("nats"), "{default}");
    let asking = |(name, text): (String, String)| {
        let mut parts = text.split("[dev-dependencies]");
        let asks = parts.next().is_some_and(|text| text.lines().any(|line| line.contains("\"nats\"")));
        asks.then_some(name)
    };
    let mut asking: Vec<String> = manifests().into_iter().filter_map(asking).collect();
    asking.sort();
    assert_eq!(asking, ["multi-node-cli", "multi-node-it"], "only the command and the tests turn the feature on");
}

#[test]
fn who_steers_from_outside_has_no_more_than_the_program() {
    let sources = sources();
    absent(
        "law 8: `admin` gives its commands by `Handle`, so that whoever steers from outside can do no more than the program itself",
        below(&sources, &["admin/"]),
        &["multi_node_supervisor", "crate::lead", "crate::node::", "crate::control", "crate::mesh", "crate::serve"],
    );
}

#[test]
fn the_kernel_is_spoken_to_in_one_place() {
    let sources = sources();
    let others = |allowed: &'static [&'static str]| {
        sources.iter().filter(move |source| !allowed.iter().any(|path| source.path.starts_with(path)))
    };
    // The load table maps memory, which has to stand beside its safety argument.
    absent(
        "law 4: only `sys` speaks to the kernel beyond std and tokio",
        others(&["sys/", "serve/load"]),
        &["rustix", " nix::", "(nix::"],
    );
    absent(
        "law 4: only `launch.rs` starts, replaces or kills processes, which `child.rs` describes; an exec shim becomes its program",
        others(&[
            "sys/",
            "master/supervisor/child.rs",
            "master/supervisor/launch",
            "node/orphan.rs",
            "run/exec_shim.rs",
        ]),
        &["Command::new", "process::kill", "process::abort", "pidfd_send", "exec::Successor", ".exec()"],
    );
    absent(
        "law 4: only `signals.rs` installs handlers",
        others(&["process/signals.rs"]),
        &["SignalKind", "ctrl_c", "tokio::signal", "signal_hook"],
    );
}

#[test]
fn the_time_of_day_is_for_people_alone() {
    let sources = sources();
    // The supervisor and the observer use one reading of the time of day; each log line reads its own. Sessions and certificates expire by it.
    let read = [
        "master/supervisor/run.rs",
        "single.rs",
        "admin/observer.rs",
        "nats/store/service.rs",
        "sessions/clock.rs",
        "sys/stderr_log.rs",
        "serve/tls.rs",
        "tls/watched.rs",
    ];
    absent(
        "law 10: no rule reads the time of day, which may be set: only statuses and lines of the log have one",
        sources.iter().filter(|source| !read.contains(&source.path.as_str())),
        &["SystemTime::now"],
    );
}

#[test]
fn unsafe_code_has_one_room() {
    let sources = sources();
    let rooms =
        ["serve/busy_handoff/lent.rs", "serve/load", "sys/credentials.rs", "sys/place.rs", "sys/shared_words.rs"];
    let others = sources.iter().filter(|source| !rooms.iter().any(|room| source.path.starts_with(room)));
    absent(
        "law 5: unsafe code stands in the load table, `serve/busy_handoff/lent.rs`, `sys/place.rs`, `sys/shared_words.rs` and `sys/credentials.rs` alone, under its safety argument",
        others,
        &["unsafe ", "unsafe{", "allow(unsafe_code)"],
    );
    // `/proc/self/fd/N` and `/proc/self/fdinfo/N` have to name one.
    let rooms = ["sys/process.rs", "sys/place.rs", "sys/runtime.rs"];
    let others = sources.iter().filter(|source| !rooms.contains(&source.path.as_str()));
    absent("law 5: descriptors are owned or borrowed, never numbers", others, &["RawFd", "from_raw_fd", "into_raw_fd"]);
}

#[test]
fn unsafe_code_of_the_binding_has_its_rooms_and_the_documents_name_them_all() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    collect(&folder.join("multi-node-napi/src"), &mut files);
    let has_unsafe = |file: &PathBuf| code(&fs::read_to_string(file).expect("readable")).contains("unsafe ");
    let name = |file: PathBuf| file.file_name().expect("a file").to_string_lossy().into_owned();
    let mut rooms: Vec<String> = files.into_iter().filter(has_unsafe).map(name).collect();
    rooms.sort();
    assert_eq!(rooms, ["descriptor.rs", "event_loop.rs", "service.rs"], "law 5: where the binding has unsafe code");
    for document in ["SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(folder.join("..").join(document)).expect("readable");
        let places = [
            "serve/load.rs",
            "serve/busy_handoff/lent.rs",
            "sys/place.rs",
            "sys/shared_words.rs",
            "sys/credentials.rs",
        ];
        for place in places.into_iter().chain(rooms.iter().map(String::as_str)) {
            assert!(text.contains(place), "{document} does not name {place}, which has unsafe code");
        }
    }
}

#[test]
fn security_names_every_variable_that_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source = fs::read_to_string(folder.join("multi-node-process/src/environment.rs")).expect("readable");
    let source = source.split("#[cfg(test)]").next().expect("the code");
    let is_name = |text: &&str| text.len() > 3 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let names: Vec<&str> = source.split('"').skip(1).step_by(2).filter(is_name).collect();
    assert!(names.contains(&"MULTI_NODE_PARENT") && names.contains(&"XDG_RUNTIME_DIR"), "{names:?}");
    let text = fs::read_to_string(folder.join("../SECURITY.md")).expect("readable");
    // What is only taken out of nodes' environments is not read.
    let removed = ["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID"];
    let removed = |name: &&str| removed.contains(name) || name.starts_with("SERVER_STARTER_");
    for name in names.into_iter().filter(|name| !removed(name)) {
        assert!(text.contains(name), "SECURITY.md does not name {name}");
    }
}

#[test]
fn state_has_an_owner_and_queues_have_an_end() {
    let sources = sources();
    absent(
        "law 6: a task owns its state; what is shared goes through channels, and every queue is bounded",
        sources.iter(),
        &["Arc<Mutex", "Arc<RwLock", "unbounded_channel", "Unbounded"],
    );
}

#[test]
fn a_library_keeps_to_itself() {
    let sources = sources();
    absent(
        "law 7: the library never prints and never writes its own environment; it logs by `tracing`",
        sources.iter(),
        &["println!", "eprintln!", "print!(", "dbg!(", "set_var", "remove_var"],
    );
    // A subscriber may panic, and the code that logs goes on.
    let others = sources.iter().filter(|source| source.path != "sys/log.rs");
    absent(
        "law 7: what the library tells goes through `crate::log`, which no panic of a subscriber passes",
        others,
        &["tracing::error!", "tracing::warn!", "tracing::info!", "tracing::debug!", "tracing::trace!"],
    );
    // The one end that it makes is the orphan's, in `node/orphan.rs`.
    let others = sources.iter().filter(|source| source.path != "node/orphan.rs");
    absent("law 7: the library never ends the process", others, &["process::exit", "std::process::abort"]);
}

#[test]
fn modules_tell_their_contents() {
    let sources = sources();
    let allowed =
        ["mod ", "pub mod ", "pub(crate) mod ", "use ", "pub use ", "pub(crate) use ", "#[", "}", "//!", "///"];
    for source in sources.iter().filter(|source| source.path.ends_with("mod.rs")) {
        let mut within_use = false;
        for line in source.code.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let known = allowed.iter().any(|start| line.starts_with(start))
                || line.starts_with("pub(super) ")
                || line.starts_with("pub(in crate::")
                || within_use;
            let constant = line.starts_with("pub const ") || line.starts_with("pub(crate) const ");
            assert!(known || constant, "law 9: `mod.rs` holds docs, modules and exports: {}: {line}", source.path);
            within_use = (within_use || line.contains("use ")) && !line.ends_with(';');
        }
    }
    for source in &sources {
        for name in ["utils", "helpers", "common", "imp"] {
            let named = source.path.split('/').any(|part| part.trim_end_matches(".rs") == name);
            assert!(!named, "law 9: `{name}` says nothing of what is inside: {}", source.path);
        }
    }
}

#[test]
fn the_stated_msrv_is_enough_for_every_dependency() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml")).expect("readable");
    let stated = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("an MSRV");
    let stated = version(stated.trim_matches('"'));
    let output = std::process::Command::new(env!("CARGO"))
        // What only other systems need is not there offline.
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--all-features"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/multi-node/Cargo.toml")])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut looked_at = 0;
    for package in metadata["packages"].as_array().expect("packages") {
        looked_at += 1;
        if let Some(needed) = package["rust_version"].as_str() {
            assert!(version(needed) <= stated, "{} needs Rust {needed}, above the stated {stated:?}", package["name"]);
        }
    }
    assert!(looked_at > 50, "all packages are listed");
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').take(2).filter_map(|part| part.parse().ok()).collect()
}

/// What a crate of ours depends on, directly and through others, with these arguments for its features.
fn tree(name: &str, edges: &str, features: &[&str]) -> String {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("Cargo.toml");
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", edges, "--prefix", "none", "--manifest-path"])
        .arg(manifest)
        .args(features)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn who_links_the_library_does_not_carry_what_runs_other_programs() {
    let carries = |tree: &str| tree.lines().any(|line| line.starts_with("multi-node-run "));
    // The examples are built with the dependencies of the tests.
    for name in ["multi-node", "multi-node-napi"] {
        assert!(
            !carries(&tree(name, "normal,build,dev", &["--all-features"])),
            "law 13: {name} depends on multi-node-run"
        );
    }
    assert!(carries(&tree("multi-node-cli", "normal", &[])), "the command runs other programs");
}

#[test]
fn the_master_knows_no_kind_of_workload() {
    let sources = sources();
    absent(
        "law 13: what nodes run stands behind `Workload`, and the rest of the master knows no kind of it",
        below(&sources, &["master/supervisor/", "node/"]),
        &["foreign::", "Foreign", "node_js"],
    );
}

#[test]
fn who_does_not_serve_tls_does_not_carry_it() {
    let tree = |features: &str| tree("multi-node", "normal", &["--features", features]);
    let carries = |tree: &str| ["rustls ", "ring "].map(|name| tree.lines().any(|line| line.starts_with(name)));
    assert_eq!(carries(&tree("axum,metrics,sessions")), [false, false]);
    assert_eq!(carries(&tree("tls")), [true, true]);
}
