//! Processes that count together, and are killed.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use multi_node_limits::{Counter, Limit, Quota, SharedTable, Size};

const TABLE: &str = "MULTI_NODE_TEST_TABLE";
const CHECKS: &str = "MULTI_NODE_TEST_CHECKS";
const KEYS: &str = "MULTI_NODE_TEST_KEYS";

fn limit(table: &SharedTable) -> Limit {
    Limit::new(table.clone(), "test", Quota::new(100, Duration::from_secs(300 * 24 * 3600)).expect("valid"))
}

/// Starts this test's program again: it makes this number of checks, over this number of keys. It opens the table as a file of this process.
fn start(file: &OwnedFd, checks: u64, keys: u64) -> Child {
    let table = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args(["--exact", "child", "--nocapture"]).stdout(Stdio::piped());
    command.env(TABLE, table).env(CHECKS, checks.to_string()).env(KEYS, keys.to_string());
    command.spawn().expect("it starts")
}

#[test]
fn child() {
    let Ok(path) = std::env::var(TABLE) else { return };
    let number = |name| std::env::var(name).expect("given").parse::<u64>().expect("a number");
    let file = File::options().read(true).write(true).open(path).expect("the table");
    let table = SharedTable::open(&file.into()).expect("a table");
    let (limit, keys) = (limit(&table), number(KEYS));
    let counter = Counter::new(table, "allowed").expect("room");
    println!("begins");
    for check in 0..number(CHECKS) {
        if limit.check(check % keys).is_ok() {
            counter.add(1);
        }
    }
}

fn begins(child: &mut Child) {
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("begins")), "the child has ended");
}

#[test]
fn four_processes_with_a_million_checks_each_are_allowed_a_hundred() {
    let (table, file) = SharedTable::create(Size { keys: 1000, processes: 1 }, [3; 16]).expect("made");
    let children: Vec<Child> = (0..4).map(|_| start(&file, 1_000_000, 1)).collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    let allowed = Counter::new(table.clone(), "allowed").expect("room").get();
    assert_eq!((allowed, table.overflows()), (100, 0));
}

#[test]
fn killed_processes_leave_a_table_that_counts() {
    let (table, file) = SharedTable::create(Size { keys: 1 << 14, processes: 1 }, [3; 16]).expect("made");
    for round in 0..20 {
        let mut children: Vec<Child> = (0..3).map(|_| start(&file, u64::MAX, 3000)).collect();
        children.iter_mut().for_each(begins);
        std::thread::sleep(Duration::from_millis(round));
        for child in &mut children {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }
    let limit = limit(&table);
    // A killed process may have counted events without reporting them.
    let left: usize = (0..3000).map(|key| (0..200).filter(|_| limit.check(key).is_ok()).count()).sum();
    let allowed = Counter::new(table.clone(), "allowed").expect("room").get() + left as u64;
    let unheard = 3 * 20;
    assert_eq!(table.overflows(), 0);
    assert!((300_000 - unheard..=300_000).contains(&allowed), "{allowed} were allowed of 3000 keys with 100 each");
}
