//! The recipe of docs/leader.md for APScheduler, with APScheduler itself.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use multi_node_it::{needs, send, within};
use rustix::process::Signal;

use crate::command::{Running, app, run};

/// What was written down: begin or end, the work's process and its worker.
fn notes(witness: &Path) -> Vec<(String, u32, u32)> {
    let text = std::fs::read_to_string(witness).unwrap_or_default();
    let note = |line: &str| {
        let mut words = line.split(' ');
        let mut next = || words.next().expect("three words");
        (next().to_owned(), next().parse().expect("a number"), next().parse().expect("a number"))
    };
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| note(line.trim_end())).collect()
}

async fn begun(witness: &Path, count: usize) -> Vec<(String, u32, u32)> {
    loop {
        let notes = notes(witness);
        if notes.iter().filter(|(what, ..)| what == "begin").count() >= count {
            return notes;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn apscheduler_ticks_in_three_workers_do_the_work_once_at_a_time() {
    let Some(found) = needs::server("apscheduler").filter(|_| needs::program("python3")) else { return };
    within(60, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let witness = folder.path().join("witness");
        let (path, script) = (format!("PYTHONPATH={found}"), app("scheduler.py"));
        let python = ["python3", &script, env!("CARGO_BIN_EXE_multi-node"), witness.to_str().expect("UTF-8")];
        let args = ["-n", "3", "--bind", "127.0.0.1:0", "--ready", "age", "--ready-after", "100ms", "-e", &path, "--"];
        let mut command = run(&[&args[..], &python].concat());
        command.env("XDG_RUNTIME_DIR", folder.path()).stdout(Stdio::null());
        let running = Running::of(command);
        begun(&witness, 1).await;
        let begin = Instant::now();
        let four = begun(&witness, 4).await;
        assert!(begin.elapsed() > Duration::from_millis(3 * 1300), "the works follow each other: {four:?}");
        for (at, (what, work, _)) in four.iter().enumerate() {
            assert_eq!(what, ["begin", "end"][at % 2], "no two at once: {four:?}");
            assert!(at % 2 == 0 || four[at - 1].1 == *work, "{four:?}");
        }
        // With its worker the work ends, and leaves the lock to the others.
        let (_, killed, worker) = four.last().expect("the last has begun");
        send(*worker, Signal::KILL);
        let after = begun(&witness, 6).await;
        let others: Vec<_> = after.iter().skip(four.len()).filter(|(_, work, _)| work != killed).collect();
        assert!(others.iter().all(|(_, _, other)| other != worker), "{after:?}");
        let alternates = |(at, (what, ..)): (usize, &&(String, u32, u32))| what == ["begin", "end"][at % 2];
        assert!(others.iter().enumerate().all(alternates), "no two at once: {after:?}");
        running.stop().await;
    })
    .await;
}
