//! The command replaced in place while it runs programs that know nothing of it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use multi_node_it::{needs, procfs, send, within};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::command::{self, Running, app, built, multi_node, pids};
use crate::load::Load;

/// A name that no other test has.
fn name(test: &str) -> String {
    format!("upgrade-{test}-{}", std::process::id())
}

/// `multi-node run` under this name, whose standard output is read.
fn run(name: &str, args: &[&str]) -> Running {
    let mut command = multi_node(&[&["run", "--name", name], args].concat());
    command.stdout(Stdio::piped());
    Running::of(command)
}

/// Upgrades it; what it looks like afterwards.
async fn upgrade(name: &str) -> Value {
    let output = command::output(&["upgrade", "--name", name, "--json"]).await;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{error}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{out:?} is no JSON: {error}"))
}

/// Tries to upgrade it; the complaint.
async fn is_refused(name: &str) -> String {
    let output = command::output(&["upgrade", "--name", name]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn nodes_and_clients_notice_nothing() {
    within(60, async {
        let name = name("clients");
        let mut running = run(&name, &["-n", "2", "--bind", "127.0.0.1:0", "--", &built("listenfd_axum")]);
        let addr = running.addr().await;
        running.ready(2).await;
        let old = pids(addr, 2).await;
        let load = Load::under_way(addr).await;
        let mut fds = Vec::new();
        for round in 1..=3 {
            let after = upgrade(&name).await;
            assert_eq!(after["pid"], running.pid());
            assert_eq!(after["slots"][0]["generation"], round, "{after}");
            fds.push(procfs::fds(running.pid()));
        }
        let (answered, errors) = load.stop().await;
        assert!(answered > 0);
        // What this server itself closes on SIGTERM is another matter.
        assert!(errors.iter().all(|error| error != "connect"), "{errors:?}");

        let new = pids(addr, 2).await;
        assert!(old.iter().all(|pid| !new.contains(pid)), "{old:?} became {new:?}");
        let mut children = procfs::children(running.pid());
        children.sort_unstable();
        assert_eq!(children, new, "the nodes are its children, and nobody else");
        assert!(procfs::zombies(running.pid()).is_empty());
        running.logged("upgrade done: generation 3 ").await;
        send(new[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.logged("started, generation 3").await;
        running.ready(1).await;
        assert!(pids(addr, 2).await.contains(&new[1]), "one node's end is its own");
        running.signal(Signal::HUP);
        running.logged("reload done").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

/// Without end, and in two pieces, so that a line is under way for the most part.
const WRITES: &str = "i=0; while :; do printf '%s' '{id} '; sleep 0.01; echo $i; i=$((i+1)); done";

#[tokio::test]
async fn no_line_is_lost_or_cut() {
    within(60, async {
        let name = name("lines");
        let mut running = run(&name, &["-n", "2", "--ready-after", "100ms", "--", "sh", "-c", WRITES]);
        let mut stdout = running.stdout();
        let read = tokio::spawn(async move {
            let mut text = String::new();
            stdout.read_to_string(&mut text).await.expect("readable");
            text
        });
        running.ready(2).await;
        for _ in 0..4 {
            upgrade(&name).await;
        }
        assert_eq!(running.stop().await, Some(0));
        let text = read.await.expect("no panic");
        let mut next = BTreeMap::<&str, u64>::new();
        // The last line of a node that has ended is as it was.
        for (id, number) in
            text.lines().filter_map(|line| line.split_once(' ')).filter(|(_, number)| !number.is_empty())
        {
            let expected = next.entry(id).or_default();
            assert_eq!(number.parse(), Ok(*expected), "{id} in {text}");
            *expected += 1;
        }
        assert_eq!(next.len(), 10, "two nodes of each generation: {next:?}");
    })
    .await;
}

#[tokio::test]
async fn a_node_is_heard_by_the_next_master() {
    if !needs::program("systemd-notify") {
        return;
    }
    const SCRIPT: &str = "systemd-notify --ready; until [ -e $GO ]; do sleep 0.02; done; systemd-notify WATCHDOG=trigger; exec sleep 1000";
    within(60, async {
        let (name, folder) = (name("heard"), tempfile::tempdir().expect("a folder"));
        let go = format!("GO={}/{{id}}", folder.path().display());
        let mut running = run(&name, &["-n", "1", "--ready", "notify", "-e", &go, "--", "sh", "-c", SCRIPT]);
        running.ready(1).await;
        upgrade(&name).await;
        running.logged("upgrade done").await;
        fs::write(folder.path().join("node-2"), "").expect("a file of ours");
        running.logged("it says that it hangs").await;
        running.ready(1).await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

/// More than a pipe holds, and then that it is ready.
const FILLS: &str = "for i in 1 2 3; do head -c 50000 /dev/zero | tr '\\0' x; echo; done; echo >&3; exec sleep 1000";

#[tokio::test]
async fn what_nobody_reads_keeps_the_old_master() {
    within(60, async {
        let name = name("unread");
        let ready = ["-n", "1", "--ready", "notify", "--ready-fd", "3"];
        let mut running = run(&name, &[&ready[..], &["--log-full", "block", "--", "sh", "-c", FILLS]].concat());
        let mut stdout = running.stdout();
        running.ready(1).await;
        let complaint = is_refused(&name).await;
        assert!(complaint.contains("what nodes have written was not taken within 5s"), "{complaint}");
        let read = tokio::spawn(async move {
            let mut text = String::new();
            stdout.read_to_string(&mut text).await.expect("readable");
            text
        });
        upgrade(&name).await;
        assert_eq!(running.stop().await, Some(0));
        let text = read.await.expect("no panic");
        let lengths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [50_000; 9], "three lines of each node");
    })
    .await;
}

/// The command under another name, where it behaves as `case $MULTI_NODE_UPGRADE in …` says.
struct Disguised {
    folder: tempfile::TempDir,
}

impl Disguised {
    fn new(case: &str) -> Disguised {
        let disguised = Disguised { folder: tempfile::tempdir().expect("a folder") };
        let real = env!("CARGO_BIN_EXE_multi-node");
        let text = format!("#!/bin/bash\ncase $MULTI_NODE_UPGRADE in {case} esac\nexec -a \"$0\" {real} \"$@\"\n");
        fs::write(disguised.path(), text).expect("a file of ours");
        fs::set_permissions(disguised.path(), Permissions::from_mode(0o755)).expect("a file of ours");
        disguised
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("multi-node")
    }

    fn run(&self, name: &str, args: &[&str]) -> Running {
        let mut command = tokio::process::Command::new(self.path());
        command.args(["run", "--name", name]).args(args).stdin(Stdio::null()).stdout(Stdio::null());
        Running::of(command)
    }
}

async fn all_end(nodes: &[u32]) {
    while nodes.iter().any(|pid| procfs::is_alive(*pid)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nodes_end_with_a_successor_that_ends() {
    within(30, async {
        let (name, disguised) = (name("ends"), Disguised::new("*:resume) sleep 1; exit 6;;"));
        let mut running = disguised.run(&name, &["-n", "2", "--bind", "127.0.0.1:0", "--", &built("listenfd_axum")]);
        let addr = running.addr().await;
        running.ready(2).await;
        let mut command = multi_node(&["upgrade", "--name", &name]).spawn().expect("the command starts");
        running.logged("the master follows").await;
        let nodes = pids(addr, 2).await;
        assert_eq!(running.exit().await, Some(6));
        all_end(&nodes).await;
        command.kill().await.expect("our child");
    })
    .await;
}

#[tokio::test]
async fn nodes_serve_on_under_a_successor_that_hangs_and_end_with_it() {
    within(30, async {
        let (name, disguised) = (name("hangs"), Disguised::new("*:resume) exec sleep 1000;;"));
        let mut running = disguised.run(&name, &["-n", "2", "--bind", "127.0.0.1:0", "--", &built("listenfd_axum")]);
        let addr = running.addr().await;
        running.ready(2).await;
        let mut command = multi_node(&["upgrade", "--name", &name]).spawn().expect("the command starts");
        running.logged("the master follows").await;
        while procfs::name(running.pid()).as_deref() != Some("sleep") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let nodes = pids(addr, 2).await;
        running.signal(Signal::KILL);
        running.exit().await;
        all_end(&nodes).await;
        command.kill().await.expect("our child");
    })
    .await;
}

#[tokio::test]
async fn a_master_that_cannot_be_replaced_keeps_its_nodes_and_their_lines() {
    const SCRIPT: &str = "echo {id} begins >&2; [ {id} = node-1 ] || until [ -e $GO ]; do sleep 0.02; done; echo >&3; until [ -e $GO-on ]; do sleep 0.02; done; echo {id} goes on >&2; exec sleep 1000";
    within(30, async {
        let (name, disguised) = (name("stays"), Disguised::new(""));
        let go = disguised.folder.path().join("go");
        let env = format!("GO={}", go.display());
        let args = ["-n", "1", "--ready", "notify", "--ready-fd", "3", "-e", &env, "--", "sh", "-c", SCRIPT];
        let mut running = disguised.run(&name, &args);
        running.ready(1).await;
        let command = tokio::spawn({
            let name = name.clone();
            async move { is_refused(&name).await }
        });
        running.logged("node-2 begins").await;
        fs::remove_file(disguised.path()).expect("a file of ours");
        fs::write(&go, "").expect("a file of ours");
        let complaint = command.await.expect("no panic");
        assert!(complaint.contains("the new program could not be started in the master's place"), "{complaint}");
        fs::write(with_suffix(&go, "-on"), "").expect("a file of ours");
        running.logged("node-2 goes on").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

#[tokio::test]
async fn what_the_next_master_could_not_go_on_with_is_refused_in_its_trial() {
    within(30, async {
        let (name, folder) = (name("trial"), tempfile::tempdir().expect("a folder"));
        let file = folder.path().join("settings.toml");
        let config = file.to_str().expect("UTF-8");
        let settings =
            "bind = ['127.0.0.1:0']\nnodes = 1\nready = 'age'\nready-after = '0s'\nprogram = ['sleep', '1000']\n";
        fs::write(&file, settings).expect("a file of ours");
        let mut running = run(&name, &["--config", config]);
        running.ready(1).await;
        let nodes = procfs::children(running.pid());
        let cases = [
            ("log = 'inherit'\n", "the new program would not read what nodes write, as the running one does"),
            ("backoff = '1h'\n", "option `backoff.longest`"),
        ];
        for (more, why) in cases {
            fs::write(&file, format!("{settings}{more}")).expect("a file of ours");
            let complaint = is_refused(&name).await;
            assert!(complaint.contains(why), "{complaint}");
        }
        fs::write(&file, settings.replace("127.0.0.1:0", "127.0.0.2:0")).expect("a file of ours");
        let complaint = is_refused(&name).await;
        assert!(
            complaint.contains("wants to serve 127.0.0.2:0, but the running one has bound 127.0.0.1:0"),
            "{complaint}"
        );
        assert_eq!(procfs::children(running.pid()), nodes, "nobody was replaced");

        let mended = settings.replace("'sleep', '1000'", "'sh', '-c', 'echo mended >&2; exec sleep 1000'");
        fs::write(&file, mended).expect("a file of ours");
        running.signal(Signal::HUP);
        running.logged("mended").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_master_that_cannot_be_replaced_stays_the_primary_of_node_js_programs() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let (name, disguised) = (name("node"), Disguised::new(""));
        let go = |id: &str| fs::write(disguised.folder.path().join(id), "").expect("a file of ours");
        let env = format!("AFTER={}/{{id}}", disguised.folder.path().display());
        let server = app("server.js");
        let args = ["-n", "1", "--bind", "127.0.0.1:0", "-e", &env, "--", "node", &server];
        let mut running = disguised.run(&name, &args);
        let addr = running.addr().await;
        go("node-1");
        running.ready(1).await;
        let load = Load::under_way(addr).await;
        let command = tokio::spawn({
            let name = name.clone();
            async move { is_refused(&name).await }
        });
        let line = running.logged("started, generation 1").await;
        let pid: u32 = line.rsplit("pid=").next().and_then(|pid| pid.trim().parse().ok()).expect("a pid");
        while !procfs::program(pid).is_some_and(|exe| exe.ends_with("node")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::remove_file(disguised.path()).expect("a file of ours");
        go("node-2");
        let complaint = command.await.expect("no panic");
        assert!(complaint.contains("the new program could not be started in the master's place"), "{complaint}");
        assert_eq!(pids(addr, 1).await, [pid]);
        let (_, errors) = load.stop().await;
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
