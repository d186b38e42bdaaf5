//! The control socket: the program seen and steered from outside, by friends and by others.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use multi_node::admin::{Client, ClientError, Instance, Logged, Request};
use multi_node::commands::{ReloadReport, Replacement};
use multi_node::status::{NodeId, State};
use multi_node_it::{Fault, Plan, Program, limits, needs, within};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

const NAME: &str = "fixture";

fn plan(nodes: usize) -> Plan {
    Plan { control: Some(NAME.to_owned()), ..Plan::nodes(nodes) }
}

async fn client(program: &Program) -> Client {
    Client::connect_to(&program.control(NAME)).await.expect("a control socket")
}

async fn ask(program: &Program, request: &Request) -> Value {
    client(program).await.ask(request).await.expect("an answer")
}

/// The refusal's code.
async fn refused(program: &Program, request: &Request) -> String {
    match client(program).await.ask::<Value>(request).await {
        Err(ClientError::Refused(refusal)) => refusal.code,
        other => panic!("{request:?} was to be refused, but {other:?}"),
    }
}

fn scale(nodes: Option<usize>, by: Option<i64>) -> Request {
    let request = json!({ "command": "scale", "nodes": nodes, "by": by });
    serde_json::from_value(request).expect("a request")
}

#[tokio::test]
async fn a_program_is_seen_and_steered() {
    within(30, async {
        let mut program = Program::serving(plan(2)).await;
        program.get("/").await.expect("an answer");
        let instance: Instance = client(&program).await.ask(&Request::Status).await.expect("a status");
        let pids = program.pids().await;
        assert_eq!((instance.name.as_str(), instance.pid, instance.ready), (NAME, program.pid, true));
        assert_eq!(instance.addresses, program.addrs);
        assert_eq!(instance.slots.iter().filter_map(|slot| slot.pid).collect::<Vec<_>>(), pids);
        assert_eq!(instance.slots.iter().filter_map(|slot| slot.requests).sum::<u64>(), 1);
        assert!(instance.slots.iter().all(|slot| slot.cpu_ms.is_some() && slot.pss_bytes > Some(100_000)));

        let mut client = client(&program).await;
        let reloaded: ReloadReport = client.ask(&Request::Reload { wait: true, now: false }).await.expect("a report");
        assert_eq!((reloaded.generation.number(), reloaded.slots.len()), (1, 2));
        let restart = Request::Restart { slot: 1.into() };
        let replaced: Replacement = client.ask(&restart).await.expect("a report");
        assert_eq!((replaced.old, replaced.new), (Some(NodeId::node(4)), NodeId::node(5)));
        let scaled: Value = client.ask(&scale(None, Some(1))).await.expect("a report");
        assert_eq!(scaled, json!({ "from": 2, "to": 3 }));
        let scaled: Value = client.ask(&scale(Some(1), None)).await.expect("a report");
        assert_eq!(scaled, json!({ "from": 3, "to": 1 }));
        assert_eq!(program.at_rest().await.slots.len(), 1);

        assert!(client.ask::<Value>(&Request::Stop { now: false }).await.expect("the last answer").is_null());
        program.ends_well().await;
        assert!(!program.control(NAME).exists(), "the socket is removed");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    within(30, async {
        let mut program = Program::serving(plan(2)).await;
        assert_eq!(refused(&program, &scale(Some(0), None)).await, "out_of_range");
        assert_eq!(refused(&program, &scale(None, Some(-2))).await, "out_of_range");
        assert_eq!(refused(&program, &scale(None, None)).await, "bad_request");
        assert_eq!(refused(&program, &Request::Restart { slot: 2.into() }).await, "no_such_slot");
        let signal = |name: &str| Request::Signal { signal: name.to_owned(), slot: Some(7.into()) };
        assert_eq!(refused(&program, &signal("USR1")).await, "no_such_slot");
        assert_eq!(refused(&program, &signal("SIGNAL")).await, "bad_request");

        Fault::FailFactory.lay(&program.faults());
        let failed = client(&program)
            .await
            .ask::<Value>(&Request::Reload { wait: true, now: false })
            .await
            .expect_err("a failure");
        assert!(matches!(&failed, ClientError::Failed(why) if why.code == "failed"), "{failed:?}");
        assert!(failed.to_string().contains("cannot reach the database"), "{failed}");
        assert_eq!(program.at_rest().await.slots.len(), 2);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_second_command_is_refused_while_one_is_carried_out() {
    within(30, async {
        let mut program = Program::serving(plan(1)).await;
        Fault::StuckInFactory.lay(&program.faults());
        let mut reloading = client(&program).await;
        let reload =
            tokio::spawn(
                async move { reloading.ask::<ReloadReport>(&Request::Reload { wait: true, now: false }).await },
            );
        program.status_where(|s| s.slots.iter().any(|slot| slot.state == State::Initializing)).await;
        assert_eq!(refused(&program, &Request::Scale { nodes: Some(2), by: None }).await, "busy");
        Fault::StuckInFactory.lift(&program.faults());
        assert_eq!(reload.await.expect("no panic").expect("a report").generation.number(), 1);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_nobody_waits_for_goes_on() {
    within(30, async {
        let program = Program::serving(plan(1)).await;
        Fault::StuckInFactory.lay(&program.faults());
        let reload = Request::Reload { wait: false, now: false };
        assert_eq!(ask(&program, &reload).await, Value::Null);
        assert_eq!(refused(&program, &Request::Scale { nodes: Some(2), by: None }).await, "busy");
        Fault::StuckInFactory.lift(&program.faults());
        program.logged("reload done: generation 1").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_signal_reaches_the_node_that_is_meant() {
    within(30, async {
        let mut program = Program::serving(plan(2)).await;
        let pids = program.pids().await;
        let kill = Request::Signal { signal: "SIGKILL".to_owned(), slot: Some(1.into()) };
        assert_eq!(ask(&program, &kill).await, json!({ "nodes": 1 }));
        let status = program.status_where(|s| s.is_ready() && s.slots[1].restarts == 1).await;
        assert_eq!((status.slots[0].pid, status.slots[0].restarts), (Some(pids[0]), 0));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_watch_shows_each_change() {
    within(30, async {
        let mut program = Program::serving(plan(1)).await;
        let mut watch = client(&program).await;
        let first: Instance = watch.ask(&Request::Watch).await.expect("the present");
        assert_eq!((first.ready, first.slots.len()), (true, 1));
        ask(&program, &scale(Some(2), None)).await;
        loop {
            let instance: Instance = watch.next().await.expect("an event").expect("the program runs");
            if instance.ready && instance.wanted == 2 {
                break;
            }
        }
        program.signal(Signal::TERM);
        while watch.next::<Instance>().await.expect("an event, or the end").is_some() {}
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn the_log_is_read_and_followed() {
    within(30, async {
        let program = Program::serving(plan(2)).await;
        let logs = |slot: Option<u16>, follow| json!({ "command": "logs", "slot": slot, "follow": follow });
        let logs = |slot, follow| serde_json::from_value::<Request>(logs(slot, follow)).expect("a request");
        let logged: Logged = client(&program).await.ask(&logs(Some(1), false)).await.expect("lines");
        let texts: Vec<&str> = logged.lines.iter().map(|line| line.text.as_str()).collect();
        assert!(texts[0].starts_with("started") && texts[1].starts_with("ready after"), "{texts:?}");
        assert!(logged.lines.iter().all(|line| line.id.as_deref() == Some("node-2")), "{logged:?}");

        let mut follower = client(&program).await;
        let mut logged: Logged = follower.ask(&logs(None, true)).await.expect("lines");
        ask(&program, &Request::Restart { slot: 0.into() }).await;
        while !logged.lines.iter().any(|line| line.text.contains("drains")) {
            logged = follower.next().await.expect("an event").expect("the program runs");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_name_is_taken_once_and_what_a_killed_program_left_is_replaced() {
    within(30, async {
        let mut first = Program::serving(plan(1)).await;
        let folder = first.faults();
        let mut second = Program::launch(&multi_node_it::program::fixture(), plan(1), |command| {
            command.env("XDG_RUNTIME_DIR", &folder);
        });
        assert_eq!(second.exit().await, Some(1));
        let complaint = format!("another program runs under the name \"fixture\" (pid {})", first.pid);
        second.logged(&complaint).await;
        assert_eq!(ask(&first, &Request::Status).await["ready"], json!(true), "the first is none the worse for it");

        first.signal(Signal::KILL);
        first.exit().await;
        assert!(first.control(NAME).exists(), "nobody was left to remove it");
        let gone = Client::connect_to(&first.control(NAME)).await.expect_err("nobody listens");
        assert!(matches!(gone, ClientError::NotRunning { .. }), "{gone:?}");
        let third = Program::run(&multi_node_it::program::fixture(), plan(1), |command| {
            command.env("XDG_RUNTIME_DIR", &folder);
        })
        .await;
        assert_eq!(ask(&first, &Request::Status).await["pid"], json!(third.pid), "the path is the same");
        third.stop().await;
        first.leaves_nobody().await;
    })
    .await;
}

/// What is answered to bytes, after which this side says nothing more.
async fn answers_to(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.expect("a connection");
    // A program that refuses the request may have hung up in the middle of it.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn garbage_and_half_messages_do_no_harm() {
    within(30, async {
        let program = Program::serving(plan(1)).await;
        let path = program.control(NAME);
        assert_eq!(answers_to(&path, b"").await, "");
        assert_eq!(answers_to(&path, b"{\"command\":\"stop\"").await, "", "half a message is none");
        for garbage in [&b"\0\x01\xff\xfe\n"[..], b"GET / HTTP/1.1\r\n", b"{\"command\":[]}\n", b"\n"] {
            let answer = answers_to(&path, garbage).await;
            assert!(answer.starts_with("{\"refused\":{\"code\":\"bad_request\""), "{answer:?} to {garbage:?}");
        }
        let endless = vec![b'x'; 1 << 20];
        answers_to(&path, &endless).await;
        let answer = answers_to(&path, b"nonsense\nstatus\n").await;
        let lines: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((&lines[0]["refused"]["code"], &lines[1]["ok"]["ready"]), (&json!("bad_request"), &json!(true)));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_connections_do_no_harm() {
    within(60, async {
        limits::raise_open_files();
        let mut program = Program::serving(plan(1)).await;
        let path = program.control(NAME);
        let mut held = Vec::new();
        for _ in 0..10_000 {
            // The kernel refuses connections that have no room in the queue.
            if let Ok(stream) = UnixStream::connect(&path).await {
                held.push(stream);
            }
        }
        let refusal = BufReader::new(held.last_mut().expect("some came through")).lines().next_line().await;
        assert!(refusal.expect("readable").expect("a line").contains("too_many"));
        assert!(program.get("/").await.is_ok() && program.status().await.is_ready(), "the program serves on");
        drop(held);
        let status = async {
            loop {
                if let Ok(mut client) = Client::connect_to(&path).await
                    && let Ok(status) = client.ask::<Value>(&Request::Status).await
                {
                    return status;
                }
            }
        };
        assert_eq!(status.await["ready"], json!(true));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn another_user_is_refused() {
    if !needs::root("act as another user") || !needs::program("python3") {
        return;
    }
    within(30, async {
        let program = Program::serving(plan(1)).await;
        let path = program.control(NAME);
        let file = path.metadata().expect("a socket");
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        let directory = path.parent().expect("a folder");
        assert_eq!(directory.metadata().expect("a folder").permissions().mode() & 0o777, 0o700);

        for (path, mode) in [(program.faults().as_path(), 0o711), (directory, 0o711), (path.as_path(), 0o666)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.makefile().readline())";
        let mut command = tokio::process::Command::new("python3");
        command.args(["-c", script]).arg(&path).uid(65_534).gid(65_534).stdin(Stdio::null());
        let output = command.output().await.expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("not_allowed") && said.contains("user 65534 may not use"), "{output:?}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_serves_alone_has_a_control_socket_too() {
    within(30, async {
        let program = Program::serving(plan(0)).await;
        let instance: Instance = client(&program).await.ask(&Request::Status).await.expect("a status");
        assert_eq!((instance.ready, instance.slots[0].pid), (true, Some(program.pid)));
        assert_eq!(refused(&program, &Request::Reload { wait: true, now: false }).await, "single_process");
        let described = ask(&program, &Request::Describe).await;
        assert_eq!((&described["protocol"], &described["pid"]), (&json!(1), &json!(program.pid)));
        program.stop().await;
    })
    .await;
}

/// Says a line, and returns the answer to it.
async fn said(socket: &mut BufReader<UnixStream>, line: &str) -> Value {
    socket.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    socket.read_line(&mut answer).await.expect("it answers");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
}

#[tokio::test]
async fn a_later_client_is_told_what_both_speak_and_refused_what_only_it_knows() {
    within(30, async {
        let program = Program::serving(plan(1)).await;
        let socket = UnixStream::connect(program.control(NAME)).await.expect("a control socket");
        let mut socket = BufReader::new(socket);
        let hello =
            r#"{"command":"hello","versions":{"lowest":1,"highest":9},"capabilities":["weighs"],"mood":"good"}"#;
        let answer = said(&mut socket, hello).await;
        let versions = json!({ "lowest": 1, "highest": 1 });
        assert_eq!(answer["ok"], json!({ "versions": versions, "version": 1, "capabilities": ["skips_unknown"] }));
        let later = said(&mut socket, r#"{"command":"weigh","grams":7}"#).await;
        assert_eq!(later["refused"]["code"], "bad_request");
        let status = said(&mut socket, r#"{"command":"status","mood":"good"}"#).await;
        assert_eq!(status["ok"]["slots"][0]["skipped_messages"], 0);
        let none = said(&mut socket, r#"{"command":"hello","versions":{"lowest":7,"highest":9}}"#).await;
        assert_eq!(none["ok"]["version"], Value::Null);
        program.stop().await;
    })
    .await;
}

/// A program of another release at a control socket. `answers` maps each command to the answer's line.
fn impostor(path: &Path, answers: fn(&str) -> &'static str) {
    let listener = tokio::net::UnixListener::bind(path).expect("a path of ours");
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        let mut client = BufReader::new(client);
        let mut line = String::new();
        while client.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            let command =
                serde_json::from_str::<Value>(&line).expect("JSON")["command"].as_str().expect("a command").to_owned();
            client.write_all(answers(&command).as_bytes()).await.expect("the client reads");
            line.clear();
        }
    });
}

#[tokio::test]
async fn a_client_passes_over_what_a_later_program_says_and_speaks_with_one_that_knows_no_hello() {
    within(30, async {
        let later = |command: &str| match command {
            "hello" => "{\"ok\":{\"versions\":{\"lowest\":1,\"highest\":9},\"version\":1,\"capabilities\":[\"weighs\"],\"mood\":1}}\n",
            _ => "{\"progress\":{\"done\":1}}\n{\"progress\":{\"done\":2}}\n{\"ok\":{\"lines\":[],\"missed\":7,\"mood\":1}}\n",
        };
        let older = |command: &str| match command {
            "hello" => "{\"refused\":{\"code\":\"bad_request\",\"why\":\"this is no request\"}}\n",
            _ => "{\"ok\":{\"lines\":[],\"missed\":7}}\n",
        };
        let folder = tempfile::tempdir().expect("a folder");
        for (name, answers) in [("later", later as fn(&str) -> &'static str), ("older", older)] {
            let path = folder.path().join(name);
            impostor(&path, answers);
            let mut client = Client::connect_to(&path).await.expect("it listens");
            for _ in 0..2 {
                let request = Request::Logs { slot: None, lines: 1, follow: false };
                let logged: Logged = client.ask(&request).await.expect(name);
                assert_eq!(logged.missed, 7);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_program_is_found_by_its_own_name_unless_it_says_otherwise() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = multi_node_it::program::fixture();
        let name = fixture.file_stem().expect("a name").to_string_lossy().into_owned();
        let socket = |name: &str| folder.path().join("multi-node").join(format!("{name}.sock"));
        let start = async |own_name| {
            let plan = Plan { own_name, ..Plan::nodes(1) };
            Program::run(&fixture, plan, |command| {
                command.env("XDG_RUNTIME_DIR", folder.path());
            })
            .await
        };
        let named = async |name: &str| {
            let mut client = Client::connect_to(&socket(name)).await.expect("a control socket");
            let instance: Instance = client.ask(&Request::Status).await.expect("a status");
            (instance.name, instance.pid)
        };
        let _without = start(false).await;
        assert!(!folder.path().join("multi-node").exists(), "`control(None)` opens nothing");
        let first = start(true).await;
        assert_eq!(named(&name).await, (name.clone(), first.pid));
        let mut second = start(true).await;
        let other = format!("{name}-{}", second.pid);
        assert_eq!(named(&other).await, (other.clone(), second.pid), "the name is taken");
        second.signal(Signal::KILL);
        second.exit().await;
        let third = start(true).await;
        assert_eq!(named(&format!("{name}-{}", third.pid)).await.1, third.pid);
        assert!(!socket(&other).exists(), "a process that has gone needs no socket");
    })
    .await;
}
