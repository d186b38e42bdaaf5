//! Programs under `multi-node run`, seen and steered by the other commands.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use multi_node_it::{needs, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::command::{Running, built, multi_node};

/// The runtime directory of one test, in which no other program runs.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = multi_node(args);
        command.env("XDG_RUNTIME_DIR", self.0.path());
        command
    }

    /// A command that other users may execute.
    pub(crate) fn copy(&self) -> PathBuf {
        let copy = self.path().join("command");
        std::fs::copy(env!("CARGO_BIN_EXE_multi-node"), &copy).expect("copied");
        std::fs::set_permissions(self.path(), PermissionsExt::from_mode(0o755)).expect("ours");
        copy
    }

    /// Two nodes that serve under this name.
    pub(crate) async fn serves(&self, name: &str, program: &str) -> Running {
        let args = ["run", "--name", name, "-n", "2", "--bind", "127.0.0.1:0", "--", program];
        let mut command = self.command(&args);
        command.stdout(Stdio::null());
        let mut running = Running::of(command);
        running.ready(2).await;
        running
    }

    /// The exit code, and what is printed and complained.
    pub(crate) async fn says(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.command(args).output().await.expect("the command starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// What is printed, without a complaint.
    pub(crate) async fn prints(&self, args: &[&str]) -> String {
        let (code, text) = self.says(args).await;
        assert_eq!(code, Some(0), "{args:?}: {text}");
        text
    }

    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let printed = self.prints(&[args, &["--json"]].concat()).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{args:?}: {printed:?} is no JSON: {error}"))
    }

    pub(crate) async fn fails(&self, args: &[&str], code: i32, complaint: &str) {
        let (seen, text) = self.says(args).await;
        assert_eq!((seen, text.contains(complaint)), (Some(code), true), "{args:?}: {text}");
    }
}

#[tokio::test]
async fn a_program_is_seen() {
    within(30, async {
        let place = Place::new();
        let running = place.serves("web", &built("listenfd_axum")).await;
        let status = place.prints(&["status"]).await;
        assert!(status.starts_with(&format!("web  pid {}  up ", running.pid())), "{status}");
        assert!(status.contains("2 of 2 serve") && !status.contains("CONNS"), "{status}");
        let status = place.json(&["status"]).await;
        let slot = &status["slots"][1];
        assert_eq!(
            (&slot["id"], &slot["requests"], &slot["in_flight"]),
            (&json!("node-2"), &json!(null), &json!(null))
        );
        assert!(slot["pss_bytes"].as_u64() > Some(100_000), "{slot}");
        assert_eq!(place.json(&["list"]).await[0]["name"], json!("web"));
        assert!(place.prints(&["list"]).await.contains("web "));
        assert_eq!(place.prints(&["top", "--once"]).await.matches(" serving ").count(), 2);
        assert_eq!(place.json(&["top", "--once"]).await["instance"]["pid"], json!(running.pid()));
        assert!(place.prints(&["logs", "--slot", "1"]).await.contains("node-2 master │ ready after"));
        assert!(place.prints(&["describe"]).await.contains("drain-timeout"));
        assert_eq!(place.json(&["describe"]).await["pid"], json!(running.pid()));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_program_is_steered() {
    within(60, async {
        let place = Place::new();
        let mut running = place.serves("web", &built("listenfd_axum")).await;
        assert!(place.prints(&["reload"]).await.contains("has begun"));
        running.logged("reload done").await;
        let report = place.prints(&["reload", "--wait"]).await;
        assert!(report.starts_with("generation 2 serves in 2 slots after "), "{report}");
        let report = place.json(&["reload", "--wait"]).await;
        assert_eq!((&report["generation"], report["slots"].as_array().map(Vec::len)), (&json!(3), Some(2)), "{report}");
        assert_eq!(place.prints(&["scale", "+1"]).await, "scaled from 2 to 3 nodes\n");
        assert_eq!(place.json(&["scale", "2"]).await, json!({ "from": 3, "to": 2 }));
        assert_eq!(place.prints(&["scale", "-1"]).await, "scaled from 2 to 1 nodes\n");
        assert_eq!(place.json(&["restart", "0"]).await["new"], json!("node-10"));
        assert_eq!(place.prints(&["signal", "KILL", "--slot", "0"]).await, "sent to 1 node\n");
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        assert_eq!(place.prints(&["stop"]).await, "stopped\n");
        assert_eq!(running.exit().await, Some(0));
        place.fails(&["status"], 4, "`multi-node run` opens one").await;
        place.fails(&["stop", "--name", "web"], 4, "no program named \"web\"").await;
    })
    .await;
}

#[tokio::test]
async fn refusal_and_failure_have_codes_of_their_own() {
    within(60, async {
        let place = Place::new();
        let program = place.0.path().join("server");
        let link = |to: &str| {
            let _ = std::fs::remove_file(&program);
            std::os::unix::fs::symlink(to, &program).expect("linked");
        };
        link(&built("listenfd_axum"));
        let mut running = place.serves("web", program.to_str().expect("UTF-8")).await;
        place.fails(&["scale", "0"], 3, "allowed are 1 to 256").await;
        place.fails(&["scale", "many"], 2, "expected a number of nodes").await;
        place.fails(&["restart", "7"], 4, "7").await;
        place.fails(&["signal", "FOO"], 2, "no such signal").await;
        link("/bin/false");
        place.fails(&["reload", "--wait"], 1, "exit code 1").await;
        let (code, text) = place.says(&["reload", "--wait", "--json"]).await;
        assert_eq!((code, text.starts_with("{\"failed\":")), (Some(1), true), "{text}");
        assert_eq!(place.json(&["status"]).await["ready"], json!(true), "the old nodes serve on");
        running.signal(rustix::process::Signal::TERM);
        assert_eq!(running.exit().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn several_programs_are_told_apart_by_name() {
    within(30, async {
        let place = Place::new();
        let program = built("listenfd_axum");
        let web = place.serves("web", &program).await;
        let api = place.serves("api", &program).await;
        place.fails(&["reload", "--wait"], 2, "several programs run: api, web").await;
        assert_eq!(place.json(&["status", "--name", "api"]).await["pid"], json!(api.pid()));
        assert!(place.prints(&["reload", "--wait", "--name", "web"]).await.starts_with("generation 1 "));
        assert_eq!(place.json(&["status", "--name", "api"]).await["slots"][0]["generation"], json!(0));
        assert_eq!(place.prints(&["stop", "--name", "api"]).await, "stopped\n");
        assert!(!place.path().join("multi-node/api.sock").exists(), "the name is free once `stop` has returned");
        assert_eq!(place.json(&["status"]).await["pid"], json!(web.pid()), "one is left");
        assert_eq!(web.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn statuses_and_logs_are_followed_to_the_end() {
    within(30, async {
        let place = Place::new();
        let running = place.serves("web", &built("listenfd_axum")).await;
        let follow = |args: &[&str]| {
            let mut child = place.command(args).stdout(Stdio::piped()).spawn().expect("the command starts");
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            (child, lines)
        };
        let (mut watching, mut statuses) = follow(&["status", "--watch", "--json"]);
        let (mut following, mut log) = follow(&["logs", "-f", "--slot", "0"]);
        assert!(statuses.next_line().await.expect("readable").expect("the present").contains("\"ready\":true"));
        assert!(log.next_line().await.expect("readable").expect("a line").contains("started"));
        assert_eq!(running.stop().await, Some(0));
        while statuses.next_line().await.expect("readable").is_some() {}
        let mut last = String::new();
        while let Some(line) = log.next_line().await.expect("readable") {
            last = line;
        }
        assert!(last.contains("ended"), "{last}");
        assert!(watching.wait().await.expect("our child").success());
        assert!(following.wait().await.expect("our child").success());
    })
    .await;
}

#[tokio::test]
async fn a_name_that_a_killed_program_left_is_free() {
    within(30, async {
        let place = Place::new();
        let mut killed = place.serves("web", &built("listenfd_axum")).await;
        killed.signal(rustix::process::Signal::KILL);
        killed.exit().await;
        assert!(place.0.path().join("multi-node/web.sock").exists(), "nobody was left to remove it");
        place.fails(&["status"], 4, "no program runs").await;
        let running = place.serves("web", &built("listenfd_axum")).await;
        assert_eq!(place.json(&["status"]).await["pid"], json!(running.pid()));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn another_user_is_refused() {
    if !needs::root("act as another user") {
        return;
    }
    within(30, async {
        let place = Place::new();
        let running = place.serves("web", &built("listenfd_axum")).await;
        let command = place.copy();
        let folder = place.0.path().join("multi-node");
        let socket = folder.join("web.sock");
        let allow = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
        let status = async || {
            let mut status = tokio::process::Command::new(&command);
            let output = status.args(["status", "--socket"]).arg(&socket).uid(65_534).gid(65_534).output().await;
            let output = output.expect("the command starts");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (code, complaint) = status().await;
        assert_eq!((code, complaint.trim_end().ends_with(": permission denied")), (Some(1), true), "{complaint}");
        allow(&folder, 0o711);
        allow(&socket, 0o666);
        let (code, complaint) = status().await;
        assert_eq!((code, complaint.contains("it is for user 0 and root")), (Some(3), true), "{complaint}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
