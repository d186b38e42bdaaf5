//! Scenarios of Node.js workers, each under node:cluster and under `multi-node run`. Both find the same, or docs/run.md says
//! what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use multi_node_it::{needs, within};
use serde_json::Value;
use tokio::process::Command;

use crate::command::{Running, app};

/// These need two workers, which run nothing else.
const OF_TWO: [&str; 2] = ["exclusive-of-two", "listen-0-shared"];

/// After this one the worker has no channel.
const LAST: &str = "disconnect";

/// What `multi-node run` does differently, and what docs/run.md says of it.
const DIFFERENT: [(&str, &str); 4] = [
    ("close-refuses", "A port that was bound stays open"),
    ("close-unix", "A port that was bound stays open"),
    ("dgram", "Datagram sockets are not served"),
    ("listen-abstract", "Unix sockets without a file are not served"),
];

/// By scenario, what each worker found, in order.
type Found = BTreeMap<String, Vec<String>>;

/// The names of all scenarios, but for those of two workers; the one that ends them is the last.
fn scenarios() -> Vec<String> {
    let files = std::fs::read_dir(app("parity/scenarios")).expect("a folder").flatten();
    let name = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let names = files.map(|file| name(file.path())).filter(|name| !OF_TWO.contains(&name.as_str()));
    let names: BTreeSet<String> = names.collect();
    let (last, others): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| name == LAST);
    [others, last].concat()
}

/// What the file has, once this number of workers have said that they are done.
async fn found(results: &Path, workers: usize) -> Found {
    loop {
        let text = std::fs::read_to_string(results).unwrap_or_default();
        let mut found = Found::new();
        for line in text.lines().filter_map(|line| serde_json::from_str::<(String, Value)>(line).ok()) {
            found.entry(line.0).or_default().push(line.1.to_string());
            // What follows is of a worker that took the place of one.
            if found.get("done").is_some_and(|done| done.len() == workers) {
                found.values_mut().for_each(|each| each.sort());
                return found;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn under_cluster(folder: &Path, names: &[String], workers: usize) -> Found {
    let (results, place) = (folder.join("cluster"), folder.join("cluster.sock"));
    let mut command = Command::new("node");
    command.arg(app("parity/primary.js")).arg(workers.to_string()).arg(place).args(names);
    command.env("RESULTS", &results).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let mut primary = command.spawn().expect("node starts");
    let found = found(&results, workers).await;
    // Its workers disconnect, and end.
    primary.kill().await.expect("it lives");
    found
}

async fn under_run(folder: &Path, names: &[String], workers: usize) -> Found {
    let (results, place) = (folder.join("run"), folder.join("run.sock"));
    let (workers_given, variable) = (workers.to_string(), format!("RESULTS={}", results.display()));
    let (worker, place) = (app("parity/worker.js"), place.display().to_string());
    let names = names.iter().map(String::as_str);
    let fixed = ["-n", &workers_given, "-e", &variable, "--", "node", &worker, &place];
    let running = Running::start(&fixed.into_iter().chain(names).collect::<Vec<_>>());
    let found = found(&results, workers).await;
    running.stop().await;
    found
}

/// The scenarios whose results differ, and how.
async fn differences(names: &[String], workers: usize) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, run) =
        tokio::join!(under_cluster(folder.path(), names, workers), under_run(folder.path(), names, workers));
    assert_eq!(cluster.keys().collect::<Vec<_>>(), run.keys().collect::<Vec<_>>());
    assert_eq!(cluster.len(), names.len() + 1, "each has found something: {cluster:?}");
    let differs = |(name, expected): (String, Vec<String>)| {
        let found = &run[&name];
        let how = format!("{} under node:cluster, {} under run", expected.join(" "), found.join(" "));
        (expected != *found).then_some((name, how))
    };
    cluster.into_iter().filter_map(differs).collect()
}

#[tokio::test]
async fn a_worker_finds_what_it_finds_under_node_cluster() {
    if !needs::program("node") {
        return;
    }
    within(100, async {
        let differences = differences(&scenarios(), 1).await;
        let told: Vec<&str> = DIFFERENT.iter().map(|(name, _)| *name).collect();
        assert_eq!(differences.keys().collect::<Vec<_>>(), told, "{differences:#?}");
        let docs = std::fs::read_to_string(format!("{}/../../docs/run.md", env!("CARGO_MANIFEST_DIR"))).expect("docs");
        let all = format!("[{} scenarios]", scenarios().len() + OF_TWO.len());
        assert!(docs.contains(&all), "docs/run.md does not say {all}");
        for (name, said) in DIFFERENT {
            assert!(docs.contains(said), "docs/run.md does not say what differs in {name}: {said:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn two_workers_find_what_they_find_under_node_cluster() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        assert_eq!(differences(&OF_TWO.map(str::to_owned), 2).await, BTreeMap::new());
    })
    .await;
}
