//! `multi-node lock`: a command that runs once at a time.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use multi_node_it::{needs, send, within};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::command::{Running, multi_node};

/// The command in what a node of a program has started, whose files are in this folder.
fn lock(folder: &Path, args: &[&str]) -> Command {
    let mut command = multi_node(&[&["lock"], args].concat());
    let user = rustix::process::getuid().as_raw();
    command.env("XDG_RUNTIME_DIR", folder).env("MULTI_NODE_INSTANCE", format!("web:{user}:4711:99:node-1"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Its messages are not read.
async fn code(mut command: Command) -> Option<i32> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.expect("it starts").code()
}

/// A shell script that has the lock, once it has written a line; and that line.
async fn holder(folder: &Path, name: &str, script: &str) -> (Child, String) {
    let mut child = lock(folder, &[name, "--", "sh", "-c", script]).spawn().expect("it starts");
    let mut lines: Lines<BufReader<ChildStdout>> = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.next_line().await.expect("readable").expect("a line");
    (child, line)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[tokio::test]
async fn a_command_has_the_lock_until_it_ends_and_its_exit_code_is_the_commands() {
    within(60, async {
        let folder = folder();
        let folder = folder.path();
        let (mut first, _) = holder(folder, "../cron", "echo begun; read line; exit 7").await;
        assert_eq!(code(lock(folder, &["--no-wait", "../cron", "--", "true"])).await, Some(3));
        assert_eq!(code(lock(folder, &["--timeout", "100ms", "../cron", "--", "true"])).await, Some(3));
        assert_eq!(code(lock(folder, &["--no-wait", "mail", "--", "true"])).await, Some(0), "another lock");
        let second = tokio::spawn(code(lock(folder, &["../cron", "--", "sh", "-c", "exit 8"])));
        first.stdin.take().expect("piped").write_all(b"go\n").await.expect("it reads");
        assert_eq!(first.wait().await.expect("it ends").code(), Some(7));
        assert_eq!(second.await.expect("it waits"), Some(8));
    })
    .await;
}

#[tokio::test]
async fn a_signal_goes_to_the_command_and_what_that_leaves_behind_keeps_the_lock() {
    within(60, async {
        let folder = folder();
        let folder = folder.path();
        let (mut first, left) = holder(folder, "cron", "sleep 1000 >/dev/null 2>&1 & echo $!; wait").await;
        send(first.id().expect("it runs"), Signal::TERM);
        assert_eq!(first.wait().await.expect("it ends").code(), None, "the signal has ended the shell");
        assert_eq!(code(lock(folder, &["--no-wait", "cron", "--", "true"])).await, Some(3), "its child has the lock");
        send(left.parse().expect("a process id"), Signal::KILL);
        assert_eq!(code(lock(folder, &["cron", "--", "true"])).await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn mistakes_have_codes_and_say_what_to_do() {
    within(60, async {
        let folder = folder();
        let folder = folder.path();
        let says = async |args: &[&str]| {
            let mut command = lock(folder, args);
            command.env_remove("MULTI_NODE_INSTANCE");
            let output = command.output().await.expect("it starts");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        assert_eq!(code(lock(folder, &["cron", "--", "/no/such/program"])).await, Some(127));
        assert_eq!(code(lock(folder, &["cron", "--", "/etc/passwd"])).await, Some(126));
        assert_eq!(code(lock(folder, &["", "--", "true"])).await, Some(2));
        assert_eq!(code(lock(folder, &["cron"])).await, Some(2));
        let (nobody, text) = says(&["--name", "web", "cron", "--", "true"]).await;
        assert!(nobody == Some(4) && text.contains("no program named \"web\""), "{text}");
        let (nobody, text) = says(&["cron", "--", "true"]).await;
        assert!(nobody == Some(4) && text.contains("no program runs"), "{text}");
    })
    .await;
}

/// A run with two nodes, each of which waits for the lock and writes its number while it has it.
fn lockers(folder: &Path, more: &[&str]) -> Running {
    let job = format!("echo $$ >>{}; exec sleep 1000", folder.join("witness").display());
    let script = format!("exec {} lock cron -- sh -c '{job}'", env!("CARGO_BIN_EXE_multi-node"));
    let args = ["-n", "2", "--bind", "127.0.0.1:0", "--ready", "age", "--ready-after", "100ms"];
    let mut command = crate::command::run(&[&args, more, &["--", "sh", "-c", &script]].concat());
    command.env("XDG_RUNTIME_DIR", folder).stdout(Stdio::null());
    Running::of(command)
}

/// The processes that have had the lock, once there are this many.
async fn leaders(folder: &Path, count: usize) -> Vec<u32> {
    loop {
        let text = std::fs::read_to_string(folder.join("witness")).unwrap_or_default();
        let pids: Vec<u32> = text.lines().map(|line| line.parse().expect("a process id")).collect();
        if pids.len() >= count && text.ends_with('\n') {
            return pids;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The command where no node has started it.
fn outside(folder: &Path, args: &[&str]) -> Command {
    let mut command = lock(folder, args);
    command.env_remove("MULTI_NODE_INSTANCE");
    command
}

#[tokio::test]
async fn what_nodes_start_and_a_command_that_names_the_program_share_a_lock() {
    within(60, async {
        let folder = folder();
        let folder = folder.path();
        let running = lockers(folder, &[]);
        let first = leaders(folder, 1).await[0];
        let name = running.name.clone();
        assert_eq!(code(outside(folder, &["--name", &name, "--no-wait", "cron", "--", "true"])).await, Some(3));
        assert_eq!(code(outside(folder, &["--name", &name, "--no-wait", "mail", "--", "true"])).await, Some(0));
        send(first, Signal::KILL);
        leaders(folder, 2).await;
        running.stop().await;
    })
    .await;
}

/// The lock is in a directory of the nodes' user, which others cannot take.
#[tokio::test]
async fn nodes_of_another_user_share_a_lock_that_others_are_refused() {
    if !needs::root("start nodes as another user") {
        return;
    }
    within(60, async {
        let folder = folder();
        let folder = folder.path();
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).expect("ours");
        let running = lockers(folder, &["--user", "daemon"]);
        let first = leaders(folder, 1).await[0];
        let output = outside(folder, &["--name", &running.name, "--no-wait", "cron", "--", "true"]).output().await;
        let output = output.expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(4) && text.contains("its nodes run as another user"), "{text}");
        send(first, Signal::KILL);
        assert_ne!(leaders(folder, 2).await[1], first);
        running.stop().await;
    })
    .await;
}
