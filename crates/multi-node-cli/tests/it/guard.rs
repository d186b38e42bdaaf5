//! What nodes have started ends with them, and all of it with the master, however that ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use multi_node_it::{needs, port, procfs, send, within};
use rustix::process::Signal;

use crate::command::{Running, multi_node};

/// A name that no other test has.
pub(crate) fn name(test: &str) -> String {
    format!("guard-{test}-{}", std::process::id())
}

pub(crate) fn start(name: &str, args: &[&str]) -> Running {
    let mut command = multi_node(&[&["run", "--name", name], args].concat());
    command.stdout(Stdio::null());
    Running::of(command)
}

/// Runs a script of a shell, which writes to descriptor 3 when it is ready.
fn script(name: &str, options: &[&str], script: &str) -> Running {
    let ready = ["--ready", "notify", "--ready-fd", "3"];
    start(name, &[options, &ready, &["--", "sh", "-c", script]].concat())
}

pub(crate) async fn until(fact: impl Fn() -> bool) {
    while !fact() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The processes of a node: all that descend from it.
pub(crate) fn family(node: u32) -> Vec<u32> {
    let mut family = vec![node];
    let mut next = 0;
    while let Some(pid) = family.get(next) {
        family.extend(procfs::children(*pid));
        next += 1;
    }
    family
}

/// The processes of all nodes, as soon as there are `count`.
async fn families(running: &Running, expected: usize) -> Vec<u32> {
    loop {
        let all: Vec<u32> = procfs::children(running.pid()).into_iter().flat_map(family).collect();
        if all.len() == expected {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn all_end(pids: &[u32]) {
    until(|| pids.iter().all(|pid| !procfs::is_alive(*pid))).await;
}

/// The guard, as soon as it is there.
async fn guard(running: &Running) -> u32 {
    until(|| procfs::guard(running.pid()).is_some()).await;
    procfs::guard(running.pid()).expect("it is there")
}

pub(crate) async fn kill(running: &mut Running) {
    running.signal(Signal::KILL);
    running.exit().await;
}

/// One in its group, one that has left it, one that has shed its variables, one with another name that ignores the signal to end,
/// and their parents.
const FAMILY: &str = "sleep 1000 & setsid sleep 1001 & env -i sleep 1002 & \
    (trap '' TERM; exec sh -c 'exec sleep 1003') & echo >&3; wait";

#[tokio::test]
async fn all_that_nodes_have_started_ends_with_a_killed_master() {
    within(60, async {
        let name = name("all");
        let mut running = script(&name, &["-n", "2", "--drain-timeout", "1s"], FAMILY);
        running.ready(2).await;
        let all = families(&running, 10).await;
        let guard = guard(&running).await;
        kill(&mut running).await;
        all_end(&[&all[..], &[guard]].concat()).await;
        assert_eq!(procfs::of_instance(&name), [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_has_changed_its_user_ends_with_a_killed_master() {
    if !needs::program("setpriv") || !needs::root("change the user of a node") {
        return;
    }
    within(60, async {
        let name = name("user");
        let setpriv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", FAMILY];
        let options = ["-n", "1", "--drain-timeout", "1s", "--ready", "notify", "--ready-fd", "3", "--"];
        let mut running = start(&name, &[&options[..], &setpriv].concat());
        running.ready(1).await;
        let all = families(&running, 5).await;
        kill(&mut running).await;
        all_end(&all).await;
    })
    .await;
}

/// Writes down each SIGTERM, and lives on.
const COUNTS: &str = "\
import os, signal, time
def told(*_): open(os.environ['OUT'] + str(os.getpid()), 'a').write('told\\n')
signal.signal(signal.SIGTERM, told)
os.write(3, b'\\n')
while True: time.sleep(0.001)
";

/// Many programs end at once by a second signal.
async fn each_node_is_told_once(name: &str, options: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    let env = format!("OUT={}/", folder.path().display());
    let ready = ["-n", "4", "--drain-timeout", "1s", "--ready", "notify", "--ready-fd", "3", "-e", &env];
    let mut running = start(name, &[&ready, options, &["--", "python3", "-c", COUNTS]].concat());
    running.ready(4).await;
    let nodes = families(&running, 4).await;
    kill(&mut running).await;
    all_end(&nodes).await;
    for node in nodes {
        let told = fs::read_to_string(folder.path().join(node.to_string())).unwrap_or_default();
        assert_eq!(told, "told\n", "what node {node} got");
    }
}

#[tokio::test]
async fn a_killed_master_s_nodes_are_told_to_finish_once() {
    if !needs::program("python3") {
        return;
    }
    within(60, async {
        each_node_is_told_once(&name("once"), &[]).await;
        if needs::root("start nodes as another user") {
            each_node_is_told_once(&name("once-as-another"), &["--user", "nobody"]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_killed_guard_is_replaced_and_knows_all_nodes() {
    within(60, async {
        let name = name("killed");
        let mut running = script(&name, &["-n", "2", "--drain-timeout", "1s"], FAMILY);
        running.ready(2).await;
        let all = families(&running, 10).await;
        let first = guard(&running).await;
        // It does not end by what is meant for the master and reaches it too.
        send(first, Signal::TERM);
        send(first, Signal::INT);
        send(first, Signal::KILL);
        running.logged("the guard of the nodes ended with SIGKILL; starting another").await;
        until(|| procfs::guard(running.pid()).is_some_and(|guard| guard != first)).await;
        // It reads its messages as soon as it runs.
        let second = guard(&running).await;
        until(|| procfs::name(second).as_deref() == Some("mn-guard")).await;
        assert!(procfs::zombies(running.pid()).is_empty(), "every child is reaped");
        kill(&mut running).await;
        all_end(&all).await;
    })
    .await;
}

#[tokio::test]
async fn a_guard_holds_nothing_but_its_pipe() {
    within(60, async {
        let name = name("holds");
        let options = ["--bind", "127.0.0.1:0", "--ready-fd", "4", "--ready", "notify"];
        // A descriptor that this command was started with, and does not close.
        let run = format!(
            "exec 9</dev/zero; exec {} run --name {name} {} -- sh -c 'echo >&4; exec sleep 1000'",
            env!("CARGO_BIN_EXE_multi-node"),
            options.join(" "),
        );
        let mut command = tokio::process::Command::new("bash");
        command
            .args(["-c", &run, "bash", "--name", &name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let mut running = Running::of(command);
        running.ready(1).await;
        let guard = guard(&running).await;
        until(|| procfs::name(guard).as_deref() == Some("mn-guard")).await;
        let links: Vec<_> = fs::read_dir(format!("/proc/{guard}/fd")).expect("ours").flatten().collect();
        let mut links: Vec<String> = links
            .iter()
            .map(|link| fs::read_link(link.path()).map_or_else(|_| String::new(), |link| link.display().to_string()))
            .collect();
        links.sort();
        assert_eq!(links.len(), 3, "{links:?}");
        assert_eq!(links[..2], ["/dev/null", "/dev/null"]);
        assert!(links[2].starts_with("pipe:"), "{links:?}");
        assert_eq!(procfs::directory(guard).as_deref(), Some(Path::new("/")));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_guard_outlives_an_upgrade_and_ends_what_the_next_master_leaves() {
    within(60, async {
        let name = name("upgrade");
        let mut running = script(&name, &["-n", "1", "--drain-timeout", "1s"], FAMILY);
        running.ready(1).await;
        let first = guard(&running).await;
        for _ in 0..2 {
            let upgraded = running.command(&["upgrade"]).await;
            assert_eq!(upgraded.status.code(), Some(0), "{upgraded:?}");
            running.logged("upgrade done").await;
            assert_eq!(procfs::guard(running.pid()), Some(first), "the same guard");
        }
        assert!(procfs::zombies(running.pid()).is_empty());
        let all = families(&running, 5).await;
        kill(&mut running).await;
        all_end(&[&all[..], &[first]].concat()).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_of_an_orderly_end() {
    within(60, async {
        let name = name("orderly");
        let mut running = script(&name, &["-n", "2", "--drain-timeout", "1s"], FAMILY);
        running.ready(2).await;
        let all = families(&running, 10).await;
        let guard = guard(&running).await;
        assert_eq!(running.stop().await, Some(0));
        let left: Vec<u32> = all.into_iter().chain([guard]).filter(|pid| procfs::is_alive(*pid)).collect();
        assert_eq!(left, [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_a_node_is_told_to_finish_before_it_is_killed() {
    const SCRIPT: &str = "(trap 'echo finished >$OUT; exit' TERM; echo >&3; while :; do sleep 0.01; done) & wait";
    within(60, async {
        let (name, folder) = (name("finish"), tempfile::tempdir().expect("a folder"));
        let out = folder.path().join("out");
        let env = format!("OUT={}", out.display());
        let mut running = script(&name, &["-n", "1", "-e", &env], SCRIPT);
        running.ready(1).await;
        send(procfs::children(running.pid())[0], Signal::KILL);
        running.logged("ending what it has started").await;
        running.logged("ended by SIGKILL").await;
        assert_eq!(fs::read_to_string(&out).expect("it was told to finish"), "finished\n");
        running.ready(1).await;
        // An orderly end is no other: the shell ends at once, and what it has started may finish.
        fs::remove_file(&out).expect("ours");
        assert_eq!(running.stop().await, Some(0));
        assert_eq!(fs::read_to_string(&out).expect("it was told to finish"), "finished\n");
    })
    .await;
}

#[tokio::test]
async fn failed_starts_leave_nobody() {
    within(60, async {
        let name = name("failed");
        let leaves = "sleep 1000 & setsid sleep 1001 & exit 7";
        let mut running = start(&name, &["-n", "1", "--", "sh", "-c", leaves]);
        assert_eq!(running.exit().await, Some(1));
        assert_eq!(procfs::of_instance(&name), [0; 0]);

        // A program that is never ready.
        let mut running = script(&name, &["-n", "1", "--start-timeout", "1s"], "setsid sleep 1000 & sleep 1001");
        assert_eq!(running.exit().await, Some(1));
        assert_eq!(procfs::of_instance(&name), [0; 0]);
    })
    .await;
}

/// Ignores the signal to end, and holds its listening socket.
const STAYS: &str = "trap '' TERM; echo >&4; while :; do sleep 0.05; done";

fn stays(name: &str, addr: &str, drain_timeout: &str) -> Running {
    let options = ["-n", "1", "--bind", addr, "--drain-timeout", drain_timeout, "--ready", "notify", "--ready-fd", "4"];
    start(name, &[&options[..], &["--", "sh", "-c", STAYS]].concat())
}

#[tokio::test]
async fn the_next_start_waits_for_what_an_earlier_run_has_left() {
    within(60, async {
        let (name, held) = (name("next"), port::Held::new().expect("a port"));
        let addr = held.addr().to_string();
        let mut running = stays(&name, &addr, "1s");
        running.ready(1).await;
        let node = procfs::children(running.pid())[0];
        kill(&mut running).await;
        let mut next = stays(&name, &addr, "1s");
        let waits = next.logged("an earlier run of this instance was killed").await;
        assert!(waits.contains(&node.to_string()), "{waits}");
        next.ready(1).await;
        assert!(!procfs::is_alive(node));
        assert_eq!(next.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn what_a_master_and_its_guard_have_left_that_were_killed_at_once_is_ended_by_the_next_start() {
    within(60, async {
        let (name, held) = (name("both"), port::Held::new().expect("a port"));
        let addr = held.addr().to_string();
        let mut running = stays(&name, &addr, "500ms");
        running.ready(1).await;
        let (node, guard) = (procfs::children(running.pid())[0], guard(&running).await);
        running.signal(Signal::STOP);
        until(|| procfs::is_stopped(running.pid())).await;
        send(guard, Signal::KILL);
        kill(&mut running).await;
        assert!(procfs::is_alive(node), "nobody has ended it");
        let mut next = stays(&name, &addr, "500ms");
        next.logged("telling them to finish").await;
        next.logged("killing what an earlier run has left").await;
        next.ready(1).await;
        assert!(!procfs::is_alive(node));
        assert_eq!(next.stop().await, Some(0));
    })
    .await;
}
