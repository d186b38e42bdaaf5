//! The count of lost requests, as a short run, and as one that is interrupted.

#![allow(missing_docs)]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a bench may take to end what it has started.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// A variable that all processes of a bench have.
const MARK: &str = "MULTI_NODE_BENCH_TEST";

fn bench(args: &[&str]) -> Command {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_multi-node-bench"));
    bench.args(args);
    bench
}

/// Runs a short `loss` of ours: a deploy and an upgrade answer clients of these kinds, and lose nothing.
fn loses_nothing(args: &[&str], kinds: &[&str]) {
    let results = tempfile::tempdir().expect("a temporary folder");
    let mut bench = bench(&[&["loss", "--quick", "--json", "--ours"], args].concat());
    let output = bench.arg("--results").arg(results.path()).output().expect("it starts");
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaints}\n{said}");
    let servers: Value = serde_json::from_str(&said).expect("JSON");
    let servers = servers.as_array().expect("rows");
    assert_eq!(servers.len(), 2, "{said}");
    for server in servers {
        for clients in kinds {
            assert!(server[clients]["answered"].as_u64() > Some(0), "{clients}: {server}");
            assert_eq!(server[clients]["lost"], 0, "{clients}: {server}");
        }
    }
}

#[test]
fn a_deploy_and_an_upgrade_lose_nothing() {
    loses_nothing(&["--only", "Rust"], &["http", "half_closing", "websockets"]);
}

#[test]
fn a_deploy_and_an_upgrade_over_https_lose_nothing() {
    loses_nothing(&["--tls", "--only", "Rust", "--rate", "100"], &["http", "websockets"]);
}

#[test]
fn a_signal_ends_all_that_a_bench_has_started() {
    let results = tempfile::tempdir().expect("a temporary folder");
    let results = results.path().to_str().expect("UTF-8");
    let loss = ["loss", "--ours", "--only", "Rust", "--window", "60", "--results", results];
    for (name, signal, code) in [("term", Signal::TERM, 143), ("int", Signal::INT, 130)] {
        let mark = format!("{name}-{}", std::process::id());
        let mut child = bench(&loss).env(MARK, &mark).stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "round 1"), "servers are started, and deployed");
        let servers = marked(&mark);
        // This process, the bench, and of each of 2 servers the master and 2 nodes.
        assert!(servers.len() >= 8, "{servers:?}");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it is there");
        let sent = Instant::now();
        assert_eq!(child.wait().expect("a status").code(), Some(code));
        assert!(sent.elapsed() < ENDS_WITHIN, "{:?}", sent.elapsed());
        assert_eq!(marked(&mark), Vec::<String>::new(), "all have ended with it");
    }
}

/// The command lines of all processes that have this mark.
fn marked(mark: &str) -> Vec<String> {
    let line = format!("{MARK}={mark}");
    let has = |environment: &[u8]| environment.split(|byte| *byte == 0).any(|at| at == line.as_bytes());
    let processes = fs::read_dir("/proc").expect("readable").flatten().map(|entry| entry.path());
    let of_bench = processes.filter(|path| fs::read(path.join("environ")).is_ok_and(|environment| has(&environment)));
    of_bench.map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ")).collect()
}
