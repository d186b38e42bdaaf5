//! A running program, seen and steered by the command.

use std::path::Path;
use std::process::Output;

use multi_node_it::program::fixture;
use multi_node_it::{Fault, Plan, Program, within};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::command::multi_node;

fn plan(name: &str, nodes: usize) -> Plan {
    Plan { control: Some(name.to_owned()), ..Plan::nodes(nodes) }
}

/// Runs the command as the user whose runtime directory this is.
async fn run(folder: &Path, args: &[&str]) -> Output {
    multi_node(args).env("XDG_RUNTIME_DIR", folder).output().await.expect("the command starts")
}

/// What the command prints, having succeeded.
async fn prints(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args).await;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{args:?}: {out}{error}");
    out.into_owned()
}

async fn json_of(folder: &Path, args: &[&str]) -> Value {
    let printed = prints(folder, args).await;
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{printed:?} is no JSON: {error}"))
}

/// The exit code, and the complaint.
async fn fails(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = run(folder, args).await;
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_program_is_steered_without_its_name() {
    within(30, async {
        let mut program = Program::serving(plan("web", 2)).await;
        let folder = program.faults();
        let status = prints(&folder, &["status"]).await;
        assert!(status.starts_with(&format!("web  pid {}  up ", program.pid)), "{status}");
        assert!(status.contains("2 of 2 serve") && !status.contains('\x1b'), "no colours in a pipe: {status}");
        assert_eq!(status.matches("serving").count(), 2, "{status}");
        assert_eq!(json_of(&folder, &["status", "--json"]).await["slots"][1]["id"], json!("node-2"));
        assert_eq!(json_of(&folder, &["list", "--json"]).await[0]["name"], json!("web"));

        let report = prints(&folder, &["reload", "--wait"]).await;
        assert!(report.starts_with("generation 1 serves in 2 slots after "), "{report}");
        assert_eq!(prints(&folder, &["scale", "+1"]).await, "scaled from 2 to 3 nodes\n");
        assert_eq!(json_of(&folder, &["scale", "2", "--json"]).await, json!({ "from": 3, "to": 2 }));
        assert_eq!(prints(&folder, &["scale", "-1"]).await, "scaled from 2 to 1 nodes\n");
        let restarted = json_of(&folder, &["restart", "0", "--json"]).await;
        assert_eq!((&restarted["old"], &restarted["new"]), (&json!("node-3"), &json!("node-6")));
        assert_eq!(prints(&folder, &["signal", "KILL", "--slot", "0"]).await, "sent to 1 node\n");
        program.status_where(|status| status.is_ready() && status.slots[0].restarts == 1).await;
        let logs = prints(&folder, &["logs", "--slot", "0"]).await;
        assert!(logs.contains("node-6 master │ ") && logs.contains("SIGKILL"), "{logs}");
        let described = prints(&folder, &["describe"]).await;
        assert!(described.contains("Control protocol 1") && described.contains("drain_timeout"), "{described}");

        assert_eq!(prints(&folder, &["stop"]).await, "stopped\n");
        program.ends_well().await;
        let (code, complaint) = fails(&folder, &["status"]).await;
        assert_eq!(code, Some(4), "{complaint}");
        assert!(complaint.contains("no program runs with a control socket"), "{complaint}");
        assert_eq!(prints(&folder, &["list", "--json"]).await, "[]\n");
    })
    .await;
}

#[tokio::test]
async fn a_report_has_the_verdict_on_the_canary() {
    within(30, async {
        let canary = Some((std::time::Duration::from_millis(200), 10));
        let program = Program::serving(Plan { canary, ..plan("web", 2) }).await;
        let folder = program.faults();
        let report = json_of(&folder, &["reload", "--wait", "--json"]).await;
        let tried = &report["canary"];
        assert_eq!((&tried["node"], &tried["by_answers"]), (&json!("node-3"), &json!(false)), "{report}");
        let report = prints(&folder, &["reload", "--wait"]).await;
        assert!(report.contains("\nnode-5 lived through its trial of "), "{report}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn several_programs_are_told_apart_by_name() {
    within(30, async {
        let web = Program::serving(plan("web", 1)).await;
        let folder = web.faults();
        let api = Program::run(&fixture(), plan("api", 1), |command| {
            command.env("XDG_RUNTIME_DIR", &folder);
        })
        .await;
        let list = prints(&folder, &["list"]).await;
        let names: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["NAME", "api", "web"]);
        let (code, complaint) = fails(&folder, &["status"]).await;
        assert_eq!((code, complaint.contains("several programs run: api, web")), (Some(2), true), "{complaint}");
        let (code, complaint) = fails(&folder, &["status", "--name", "wbe"]).await;
        assert_eq!((code, complaint.contains("running: api, web")), (Some(4), true), "{complaint}");
        assert_eq!(json_of(&folder, &["status", "--name", "api", "--json"]).await["pid"], json!(api.pid));
        let socket = web.control("web");
        let by_path = ["status", "--json", "--socket", socket.to_str().expect("a path in UTF-8")];
        assert_eq!(json_of(Path::new("/nonexistent"), &by_path).await["pid"], json!(web.pid));

        prints(&folder, &["stop", "--name", "api"]).await;
        assert_eq!(json_of(&folder, &["status", "--json"]).await["pid"], json!(web.pid), "one is left");
        web.stop().await;
    })
    .await;
}

#[tokio::test]
async fn several_programs_are_asked_at_once() {
    within(60, async {
        let mut web = Program::serving(plan("web", 1)).await;
        let folder = web.faults();
        let mut api = Program::run(&fixture(), plan("api", 2), |command| {
            command.env("XDG_RUNTIME_DIR", &folder);
        })
        .await;
        let statuses = prints(&folder, &["status", "--all"]).await;
        assert!(statuses.starts_with("api  pid ") && statuses.contains("\nweb  pid "), "{statuses}");
        let answers = prints(&folder, &["reload", "web", "api", "--wait", "--json"]).await;
        let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let seen = answers.iter().map(|answer| (answer["name"].as_str(), answer["answer"]["generation"].as_u64()));
        assert_eq!(seen.collect::<Vec<_>>(), [(Some("web"), Some(1)), (Some("api"), Some(1))]);
        let scaled = prints(&folder, &["scale", "+1", "--all"]).await;
        assert_eq!(scaled, "api: scaled from 2 to 3 nodes\nweb: scaled from 1 to 2 nodes\n");
        let (code, complaint) = fails(&folder, &["signal", "WINCH", "wbe", "api"]).await;
        assert_eq!((code, complaint.contains("wbe: no program named \"wbe\"")), (Some(4), true), "{complaint}");
        let (code, complaint) = fails(&folder, &["status", "--watch", "--all"]).await;
        assert_eq!((code, complaint.contains("name one")), (Some(2), true), "{complaint}");
        assert_eq!(prints(&folder, &["stop", "--all"]).await, "api: stopped\nweb: stopped\n");
        let (code, complaint) = fails(&folder, &["stop", "--all"]).await;
        assert_eq!((code, complaint.contains("no program runs")), (Some(4), true), "{complaint}");
        web.ends_well().await;
        api.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn success_refusal_and_failure_have_codes_of_their_own() {
    within(30, async {
        let program = Program::serving(plan("web", 1)).await;
        let folder = program.faults();
        assert_eq!(fails(&folder, &["scale", "0"]).await.0, Some(3));
        assert_eq!(fails(&folder, &["scale", "many"]).await.0, Some(2));
        assert_eq!(fails(&folder, &["restart", "7"]).await.0, Some(4));
        assert_eq!(fails(&folder, &["signal", "SIGNAL"]).await.0, Some(2));
        let refused = run(&folder, &["scale", "0", "--json"]).await;
        let printed: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
        assert_eq!((refused.status.code(), &printed["refused"]["code"]), (Some(3), &json!("out_of_range")));

        Fault::FailFactory.lay(&program.faults());
        let (code, complaint) = fails(&folder, &["reload", "--wait"]).await;
        assert_eq!((code, complaint.contains("cannot reach the database")), (Some(1), true), "{complaint}");
        Fault::FailFactory.lift(&program.faults());

        Fault::StuckInFactory.lay(&program.faults());
        assert!(prints(&folder, &["reload"]).await.contains("has begun"));
        assert_eq!(fails(&folder, &["scale", "2"]).await.0, Some(3), "one command at a time");
        let waits = prints(&folder, &["reload"]).await;
        assert!(waits.contains("begins when the one that is under way has its slots"), "{waits}");
        Fault::StuckInFactory.lift(&program.faults());
        program.logged("reload done: generation 3").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn streams_go_on_until_the_program_ends() {
    within(30, async {
        let mut program = Program::serving(plan("web", 1)).await;
        let folder = program.faults();
        let stream = |args: &[&str]| {
            let mut command = multi_node(args);
            command.env("XDG_RUNTIME_DIR", &folder).stdout(std::process::Stdio::piped());
            let mut child = command.spawn().expect("the command starts");
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            (child, lines)
        };
        let (mut watching, mut statuses) = stream(&["status", "--watch", "--json"]);
        let (mut following, mut logs) = stream(&["logs", "-f", "-n", "0"]);
        let first = statuses.next_line().await.expect("readable").expect("the present");
        assert_eq!(serde_json::from_str::<Value>(&first).expect("JSON")["ready"], json!(true));
        // Whether it follows already is seen by what it prints.
        let mut commands = tokio::time::interval(std::time::Duration::from_millis(50));
        let line = loop {
            tokio::select! {
                line = logs.next_line() => break line.expect("readable").expect("a line"),
                _ = commands.tick() => drop(program.command("scale 1").await),
            }
        };
        assert!(line.contains("master │ scale"), "{line}");
        program.signal(Signal::TERM);
        while statuses.next_line().await.expect("readable").is_some() {}
        assert!(watching.wait().await.expect("our child").success());
        assert!(following.wait().await.expect("our child").success());
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_returns_when_the_next_program_answers() {
    within(30, async {
        let program = Program::serving(plan("web", 2)).await;
        let folder = program.faults();
        let before = json_of(&folder, &["status", "--json"]).await;
        let after = json_of(&folder, &["upgrade", "--json"]).await;
        assert_eq!(after["pid"], before["pid"]);
        assert_eq!(after["slots"][0]["generation"], json!(1), "{after}");
        Fault::FailFactory.lay(&program.faults());
        let (code, complaint) = fails(&folder, &["upgrade"]).await;
        assert_eq!((code, complaint.contains("cannot reach the database")), (Some(1), true), "{complaint}");
        assert_eq!(json_of(&folder, &["status", "--json"]).await["ready"], json!(true), "the old one goes on");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_that_cannot_be_is_refused_with_a_code() {
    within(30, async {
        let cases = [
            (Plan { master_listen: true, ..plan("web", 1) }, 1, "the master serves connections itself"),
            (plan("web", 0), 3, "the program runs as a single process"),
        ];
        for (plan, code, why) in cases {
            let program = Program::serving(plan).await;
            let (given, complaint) = fails(&program.faults(), &["upgrade"]).await;
            assert_eq!((given, complaint.contains(why)), (Some(code), true), "{complaint}");
            program.stop().await;
        }

        let program = Program::serving(plan("web", 1)).await;
        Fault::StuckInFactory.lay(&program.faults());
        prints(&program.faults(), &["reload"]).await;
        let (code, complaint) = fails(&program.faults(), &["restart", "0"]).await;
        assert_eq!((code, complaint.contains("reload is under way")), (Some(3), true), "{complaint}");
        Fault::StuckInFactory.lift(&program.faults());
        program.logged("reload done").await;
        Fault::DieInTrial.lay(&program.faults());
        let (code, complaint) = fails(&program.faults(), &["upgrade"]).await;
        assert_eq!(
            (code, complaint.contains("ended with exit code 5 before it reached `listen`")),
            (Some(1), true),
            "{complaint}"
        );
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn top_is_printed_where_there_is_no_terminal() {
    within(30, async {
        let program = Program::serving(plan("web", 2)).await;
        let folder = program.faults();
        let picture = prints(&folder, &["top", "--once"]).await;
        assert!(picture.starts_with(&format!("web  pid {}  up ", program.pid)), "{picture}");
        assert_eq!(picture.matches(" serving ").count(), 2, "{picture}");
        let look = json_of(&folder, &["top", "--once", "--json"]).await;
        assert_eq!(look["rates"]["requests"], json!({ "0": 0.0, "1": 0.0 }));
        assert_eq!(fails(&folder, &["top"]).await.0, Some(2));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stale_socket_is_nobody() {
    within(30, async {
        let mut program = Program::serving(plan("web", 1)).await;
        let folder = program.faults();
        program.signal(Signal::KILL);
        program.exit().await;
        assert!(program.control("web").exists(), "nobody was left to remove it");
        assert_eq!(fails(&folder, &["status"]).await.0, Some(4));
        assert_eq!(fails(&folder, &["status", "--name", "web"]).await.0, Some(4));
        program.leaves_nobody().await;
    })
    .await;
}

#[tokio::test]
async fn a_master_that_is_stopped_is_not_waited_for_without_end() {
    within(30, async {
        let program = Program::serving(plan("web", 1)).await;
        let folder = program.faults();
        program.signal(Signal::STOP);
        let (code, complaint) = fails(&folder, &["status"]).await;
        program.signal(Signal::CONT);
        assert_eq!((code, complaint.contains("is its master stopped?")), (Some(1), true), "{complaint}");
        program.stop().await;
    })
    .await;
}
