//! A test that is killed leaves no browser behind. The browser here is a script that writes to its profile without end.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;

use super::{Process, debugger_address};
use crate::procfs;

/// The variable that names the script.
const SCRIPT: &str = "FAKE_BROWSER";

const BROWSER: &str = r#"#!/bin/sh
for arg; do case $arg in --user-data-dir=*) profile=${arg#*=};; esac; done
(number=0; while true; do number=$((number + 1)); mkdir -p "$profile/$number" && : >"$profile/$number/file"; done) &
echo "DevTools listening on $! $profile" >&2
wait
"#;

#[tokio::test]
#[ignore = "what the other test starts and kills"]
async fn holds_a_browser() {
    let script = PathBuf::from(std::env::var_os(SCRIPT).expect("a script"));
    let (_process, stderr) = Process::spawn(&[script]).expect("it starts");
    println!("\nholds {}", debugger_address(stderr).await.expect("what it says"));
    std::future::pending::<()>().await;
}

/// The test above in a process of its own, a process of its browser, and the profile.
fn start(script: &std::path::Path) -> (Child, u32, PathBuf) {
    let mut test = Command::new(std::env::current_exe().expect("this test program"));
    test.args(["--exact", "browser::tests::holds_a_browser", "--ignored", "--nocapture"]).env(SCRIPT, script);
    let mut test = test.process_group(0).stdout(Stdio::piped()).spawn().expect("it starts");
    let (pid, profile) = held(test.stdout.take().expect("piped"));
    (test, pid, profile)
}

fn held(stdout: ChildStdout) -> (u32, PathBuf) {
    let mut lines = BufReader::new(stdout).lines().map(|line| line.expect("readable"));
    let line = lines.find_map(|line| line.strip_prefix("holds ").map(str::to_owned)).expect("what it holds");
    let (pid, profile) = line.split_once(' ').expect("two words");
    (pid.parse().expect("a pid"), profile.into())
}

#[test]
fn nothing_is_left_of_a_browser_whose_test_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("chromium");
    std::fs::write(&script, BROWSER).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("ours");
    for signal in [Signal::TERM, Signal::KILL] {
        let (mut test, pid, profile) = start(&script);
        assert!(procfs::is_alive(pid) && profile.exists());
        // As nextest ends a test that takes too long.
        let group = Pid::from_raw(test.id().cast_signed()).expect("a pid");
        kill_process_group(group, signal).expect("it is ours");
        test.wait().expect("it is ours");
        let end = Instant::now() + Duration::from_secs(20);
        while procfs::is_alive(pid) || profile.exists() {
            assert!(Instant::now() < end, "{signal:?}: {pid} or {} is left", profile.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
