//! `--primary FILE`: the user's own code for the primary of Node.js programs.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use multi_node_it::{client, needs, procfs, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{Running, app, multi_node};
use crate::guard::{all_end, kill};

/// What a node's primary answers it; none within a second is asked for again.
async fn ask(addr: SocketAddr, question: &str) -> Value {
    loop {
        let answer = client::get(addr, question).await.expect("an answer");
        if answer.status == 200 {
            return serde_json::from_str(&answer.body).expect("JSON");
        }
    }
}

/// Asks until the answer is as wanted.
async fn until(addr: SocketAddr, question: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let answer = ask(addr, question).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts this number of nodes and their primary process, with more options.
async fn serving(nodes: usize, options: &[&str]) -> (Running, SocketAddr) {
    let (count, primary, worker) = (nodes.to_string(), app("primary/answers.js"), app("primary/asks.js"));
    let args = ["-n", &count, "--bind", "127.0.0.1:0", "--settle", "100ms", "--primary", &primary];
    Running::serving(&[&args[..], options, &["--", "node", &worker]].concat(), nodes).await
}

/// The nodes' pids.
async fn pids(addr: SocketAddr, nodes: usize) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    while seen.len() < nodes {
        seen.insert(ask(addr, "/pid").await.as_u64().expect("a pid"));
    }
    seen
}

async fn primary_pid(addr: SocketAddr) -> u32 {
    u32::try_from(ask(addr, "/echo").await["pid"].as_u64().expect("a pid")).expect("a pid")
}

#[tokio::test]
async fn a_message_goes_to_the_primary_and_its_answer_comes_back() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let (running, addr) = serving(2, &[]).await;
        let echo = ask(addr, "/echo").await;
        assert!([1, 2].contains(&echo["worker"].as_u64().expect("an id")), "{echo}");
        let facts = ask(addr, "/facts").await;
        let expected = json!({
            "primary": [true, true, false],
            "send": "undefined",
            "options": [],
            "variables": [],
            "fork": "ERR_MULTI_NODE_FORK",
            "nothing": "ERR_MISSING_ARGS",
        });
        assert_eq!(facts, expected, "as a process that nobody has forked; setupPrimary does nothing");
        assert_eq!(ask(addr, "/handle").await, "ERR_MULTI_NODE_HANDLE");
        let workers = until(addr, "/workers", |workers| {
            let all = workers.as_array().expect("a list");
            all.len() == 2 && all.iter().all(|worker| worker["state"] == "listening")
        });
        let workers = workers.await;
        let nodes = pids(addr, 2).await;
        for worker in workers.as_array().expect("a list") {
            assert!(nodes.contains(&worker["pid"].as_u64().expect("a pid")), "{workers}");
            assert_eq!(
                (&worker["connected"], &worker["dead"], &worker["is"]),
                (&json!(true), &json!(false), &json!(true))
            );
        }
        assert_eq!(ask(addr, "/all").await, 2);
        until(addr, "/notes", |notes| *notes == 1).await;
        let logs = running.command(&["logs"]).await;
        assert!(String::from_utf8_lossy(&logs.stdout).contains("primary out │ primary says"), "{logs:?}");
        let process = primary_pid(addr).await;
        assert_eq!(running.stop().await, Some(0));
        assert!(!procfs::is_alive(process));
    })
    .await;
}

#[tokio::test]
async fn a_killed_primary_costs_no_node_and_comes_back() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (mut running, addr) = serving(2, &[]).await;
        let (nodes, first) = (pids(addr, 2).await, primary_pid(addr).await);
        send(first, Signal::KILL);
        running.logged("the primary process ended with SIGKILL").await;
        let second = primary_pid(addr).await;
        assert_ne!(first, second);
        let events = until(addr, "/events", |events| events.as_array().is_some_and(|events| events.len() >= 6)).await;
        let mut events: Vec<_> = events.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        events.sort_unstable();
        assert_eq!(events, ["fork 1", "fork 2", "listening 1 true", "listening 2 true", "online 1", "online 2"]);
        // It also replaces a process that ended on its own.
        let _ = client::get(addr, "/exit").await;
        running.logged("the primary process ended with exit code 7").await;
        assert_ne!(primary_pid(addr).await, second);
        assert_eq!(pids(addr, 2).await, nodes, "no node has noticed");
        assert!(procfs::zombies(running.pid()).is_empty());
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn the_primary_is_told_of_the_ends_of_nodes() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (mut running, addr) = serving(2, &[]).await;
        let echo = until(addr, "/workers", |workers| workers.as_array().is_some_and(|all| all.len() == 2)).await;
        let pid = echo[0]["pid"].as_u64().expect("a pid");
        send(u32::try_from(pid).expect("a pid"), Signal::KILL);
        running.ready(1).await;
        let has = |events: &Value, wanted: &str| events.as_array().expect("a list").iter().any(|event| event == wanted);
        let events = until(addr, "/events", |events| has(events, "listening 3 true")).await;
        assert!(has(&events, "disconnect 1") && has(&events, "exit 1  SIGKILL false"), "{events}");
        // `exitedAfterDisconnect` is true of a node that was asked to end, and false of one that died.
        let scaled = running.command(&["scale", "1"]).await;
        assert_eq!(scaled.status.code(), Some(0), "{scaled:?}");
        let ends =
            |events: &Value| {
                events.as_array().expect("a list").iter().any(|event| {
                    event.as_str().is_some_and(|event| event.starts_with("exit") && event.ends_with(" true"))
                })
            };
        until(addr, "/events", ends).await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_succeeds_starts_the_primary_anew_and_one_that_fails_leaves_it() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let (release, worker) = (folder.path().join("release"), folder.path().join("asks.js"));
        fs::write(&release, "1").expect("a file of ours");
        fs::copy(app("primary/asks.js"), &worker).expect("a file of ours");
        let (file, primary) = (format!("RELEASE={}", release.display()), app("primary/answers.js"));
        let worker_path = worker.to_str().expect("UTF-8");
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--settle", "100ms", "-e", &file, "--primary", &primary];
        let (mut running, addr) = Running::serving(&[&args[..], &["--", "node", worker_path]].concat(), 2).await;
        let first = ask(addr, "/echo").await;
        assert_eq!(first["release"], "1");

        fs::write(&release, "2").expect("a file of ours");
        fs::write(&worker, "throw new Error('a broken release')").expect("a file of ours");
        let reload = running.command(&["reload", "--wait"]).await;
        assert_eq!(reload.status.code(), Some(1), "{reload:?}");
        assert_eq!(ask(addr, "/echo").await["pid"], first["pid"]);

        fs::copy(app("primary/asks.js"), &worker).expect("a file of ours");
        let reload = running.command(&["reload", "--wait"]).await;
        assert_eq!(reload.status.code(), Some(0), "{reload:?}");
        let second = until(addr, "/echo", |echo| echo["pid"] != first["pid"]).await;
        assert_eq!(second["release"], "2");

        // One that is broken is tried again; the nodes serve.
        fs::write(&release, "broken").expect("a file of ours");
        let reload = running.command(&["reload", "--wait"]).await;
        assert_eq!(reload.status.code(), Some(0), "{reload:?}");
        running.logged("the primary process ended with exit code 1").await;
        pids(addr, 2).await;
        fs::write(&release, "3").expect("a file of ours");
        until(addr, "/echo", |echo| echo["release"] == "3").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_starts_the_primary_anew() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (mut running, addr) = serving(2, &[]).await;
        let mut before = primary_pid(addr).await;
        for _ in 0..2 {
            let upgrade = running.command(&["upgrade"]).await;
            assert_eq!(upgrade.status.code(), Some(0), "{upgrade:?}");
            running.logged("upgrade done").await;
            let after = until(addr, "/echo", |echo| echo["pid"] != before).await;
            until(addr, "/workers", |workers| workers.as_array().is_some_and(|all| all.len() == 2)).await;
            assert!(!procfs::is_alive(before));
            before = u32::try_from(after["pid"].as_u64().expect("a pid")).expect("a pid");
        }
        assert!(procfs::zombies(running.pid()).is_empty());
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn bursts_arrive_whole_in_both_directions() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (running, addr) = serving(1, &[]).await;
        let notes = until(addr, "/burst/20000", |_| true).await;
        assert_eq!(notes, 20_000);
        ask(addr, "/back").await;
        let answer = client::get(addr, "/notes").await.expect("an answer");
        assert_eq!(answer.body, "20000", "the answer came behind them");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn an_es_module_that_loads_slowly_hears_what_was_sent_before() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let (primary, worker) = (app("primary/module.mjs"), app("primary/asks.js"));
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--primary", &primary, "--", "node", &worker];
        let (running, addr) = Running::serving(&args, 2).await;
        let answer = client::get(addr, "/").await.expect("an answer");
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(answer, json!({ "isPrimary": true, "thrown": "ERR_MULTI_NODE_FORK", "workers": 2 }));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn messages_that_nobody_takes_are_warned_of_once() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--", "node", &app("primary/asks.js")];
        let (mut running, addr) = Running::serving(&args, 2).await;
        for _ in 0..4 {
            assert_eq!(client::get(addr, "/echo").await.expect("an answer").status, 504);
        }
        running.signal(Signal::TERM);
        assert_eq!(running.exit().await, Some(0));
        let warnings = running.seen.iter().filter(|line| line.contains("run that with --primary FILE")).count();
        assert_eq!(warnings, 1);
    })
    .await;
}

#[tokio::test]
async fn a_primary_that_cannot_be_is_an_error() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let (file, worker) = (app("primary/answers.js"), app("primary/asks.js"));
        let cases: [(&[&str], &str); 3] = [
            (&["--primary", &file, "--", "sleep", "1"], "only Node.js programs that run a script"),
            (&["--primary", &file, "--", "node", "-e", "1"], "only Node.js programs that run a script"),
            (&["--primary", "nowhere.js", "--", "node", &worker], "there is no such file"),
        ];
        for (args, why) in cases {
            let output = multi_node(&[&["run", "-n", "1"], args].concat()).output().await.expect("the command starts");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("`--primary`") && said.contains(why), "{args:?}: {said}");
            assert_eq!(output.status.code(), Some(2), "{args:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_primary_that_ignores_signals_ends_with_a_killed_command() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (mut running, addr) = serving(1, &["-e", "STUBBORN=1", "--drain-timeout", "1s"]).await;
        let primary = primary_pid(addr).await;
        send(primary, Signal::TERM);
        assert_eq!(primary_pid(addr).await, primary, "it does not heed SIGTERM");
        kill(&mut running).await;
        all_end(&[primary]).await;
    })
    .await;
}
