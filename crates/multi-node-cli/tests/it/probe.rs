//! `multi-node probe`: what it says of servers that lose requests on purpose.

use std::process::{Output, Stdio};
use std::time::Duration;

use multi_node_it::{send, within};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::command::multi_node;
use crate::hostile_server::{Manner, Server, Waiting};

/// As many requests in a short time as show every kind of client.
const BUSY: [&str; 8] = ["--rate", "400", "--before", "300ms", "--after", "300ms", "--timeout", "1s"];

/// The command under way, whose report is JSON.
fn probe(url: &str, args: &[&str]) -> JoinHandle<Output> {
    let mut command = multi_node(&[&["probe", url, "--json"], args].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::spawn(async move { command.output().await.expect("the command starts") })
}

/// Its exit code and report.
async fn ended(probe: JoinHandle<Output>) -> (Option<i32>, Value, String) {
    let output = probe.await.expect("it is not aborted");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), report, error)
}

/// What is found where the server behaves so while the command runs.
async fn while_it(manner: Manner, args: &[&str]) -> (Option<i32>, Value, String) {
    let (server, mut waiting) = (Server::start().await, Waiting::new());
    let line = waiting.line("true");
    let probe = probe(&server.url(), &[args, &["--during", &line]].concat());
    waiting.begun().await;
    server.manner.send_replace(manner);
    server.has_answered_badly(10).await;
    server.manner.send_replace(Manner::Well);
    waiting.may_end().await;
    ended(probe).await
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test]
async fn a_server_that_loses_nothing() {
    within(30, async {
        let server = Server::start().await;
        let (code, report, error) =
            ended(probe(&server.url(), &[&BUSY[..], &["--during", "echo done"]].concat())).await;
        assert_eq!((code, error.as_str()), (Some(0), "done\n"), "{report}");
        assert_eq!(report["total"]["lost"], 0, "{report}");
        assert!(number(&report["total"]["answered"]) > 0, "{report}");
        assert_eq!(report["command"]["exit_code"], 0);
        let names = |list: &str, name: &str| -> Vec<String> {
            let list = report[list].as_array().expect("a list");
            list.iter().map(|of| of[name].as_str().expect("a text").to_owned()).collect()
        };
        assert_eq!(names("phases", "phase"), ["before", "during", "after"]);
        assert_eq!(names("clients", "kind"), ["new", "kept", "pooled", "slow", "half-closing"]);
        for of in report["clients"].as_array().expect("a list") {
            assert!(number(&of["answered"]) > 0, "{of}");
        }
        assert!(report["total"]["worst_ms"].as_f64() >= report["total"]["p99_ms"].as_f64(), "{report}");
    })
    .await;
}

#[tokio::test]
async fn every_loss_is_told_by_its_kind() {
    let table = [
        (Manner::Resets, "reset"),
        (Manner::Closes, "closed"),
        (Manner::Truncates, "truncated"),
        (Manner::TruncatesChunks, "truncated"),
        (Manner::Fails, "wrong_status"),
        (Manner::Garbage, "wrong"),
        (Manner::Never, "timed_out"),
    ];
    for (manner, how) in table {
        within(30, async {
            let (code, report, error) = while_it(manner, &BUSY).await;
            let total = &report["total"];
            assert_eq!(code, Some(1), "{manner:?}: {report}{error}");
            assert!(number(&total["lost_by"][how]) >= 10, "{manner:?}: {report}");
            assert_eq!(total["lost_by"][how], total["lost"], "{manner:?}: {report}");
            assert!(error.contains("requests were lost, and 0 are allowed"), "{error}");
            assert_eq!(report["phases"][0]["lost"], 0, "{manner:?}: {report}");
            assert_eq!(report["losses"][0]["how"], how, "{report}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_refuses() {
    within(30, async {
        let (mut server, mut waiting) = (Server::start().await, Waiting::new());
        let line = waiting.line("true");
        let args = [&BUSY[..], &["--kinds", "new", "--max-lost", "100000", "--during", &line]].concat();
        let probe = probe(&server.url(), &args);
        waiting.begun().await;
        server.go();
        // As long as it is away.
        sleep(Duration::from_millis(200)).await;
        server.come_back().await;
        waiting.may_end().await;
        let (code, report, error) = ended(probe).await;
        assert_eq!(code, Some(0), "{report}{error}");
        assert!(number(&report["total"]["lost_by"]["refused"]) > 5, "{report}");
        assert!((150..10_000).contains(&number(&report["outage_ms"])), "{report}");
    })
    .await;
}

#[tokio::test]
async fn the_end_of_an_idle_connection_is_no_loss() {
    within(30, async {
        // Clients that pause for long enough see the end before they send.
        let args = ["--kinds", "kept", "--rate", "20", "--connections", "8", "--before", "300ms", "--after", "300ms"];
        for (manner, name) in [(Manner::ClosesIdle, "closed_idle"), (Manner::Closing, "closed_announced")] {
            let (code, report, error) = while_it(manner, &args).await;
            assert_eq!(code, Some(0), "{report}{error}");
            assert!(number(&report["total"][name]) >= 9, "{report}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_websocket_is_pinged() {
    within(30, async {
        let args = [&BUSY[..], &["--websocket", "/ws", "--kinds", "new"]].concat();
        let of_websocket = |report: &Value| report["clients"][1].clone();
        let (code, report, error) = while_it(Manner::CloseFrame, &args).await;
        let met = of_websocket(&report);
        assert_eq!(code, Some(0), "{report}{error}");
        assert_eq!(met["kind"], "websocket");
        assert!(number(&met["answered"]) > 0 && number(&met["closed_announced"]) > 0, "{report}");

        let (code, report, error) = while_it(Manner::Closes, &args).await;
        assert_eq!(code, Some(1), "{report}{error}");
        assert!(number(&of_websocket(&report)["lost"]) > 0, "{report}");
    })
    .await;
}

#[tokio::test]
async fn https_by_a_certificate_that_is_trusted_or_need_not_be() {
    within(30, async {
        let server = Server::with_tls().await;
        let url = server.url();
        let output = multi_node(&["probe", &url, "--for", "1s"]).output().await.expect("the command starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains("certificate") && error.contains("before anything is done to it"), "{error}");

        let mut waiting = Waiting::new();
        let line = waiting.line("true");
        let probe = probe(&url, &[&BUSY[..], &["--insecure", "--during", &line]].concat());
        waiting.begun().await;
        server.manner.send_replace(Manner::Truncates);
        server.has_answered_badly(10).await;
        server.manner.send_replace(Manner::Well);
        waiting.may_end().await;
        let (code, report, error) = ended(probe).await;
        assert_eq!(code, Some(1), "{report}{error}");
        let total = &report["total"];
        assert!(number(&total["answered"]) > 0 && total["lost_by"]["truncated"] == total["lost"], "{report}");
    })
    .await;
}

#[tokio::test]
async fn the_exit_code_says_what_failed() {
    within(60, async {
        let server = Server::start().await;
        let url = server.url();
        let cases: [(&[&str], i32, &str); 10] = [
            (&["--during", "exit 3"], 5, "the command exited with code 3"),
            (&["--during", "kill -TERM $$"], 5, "the command was ended by SIGTERM"),
            (&["--during", "no-such-command"], 5, "the command exited with code 127"),
            (&["--during", "exec sleep 60", "--command-timeout", "100ms"], 5, "took longer than --command-timeout"),
            (&["--for", "100ms"], 0, ""),
            (&["--for", "100ms", "--status", "500-599"], 1, "wrong status: status 200"),
            (&[], 2, "--during"),
            (&["--for", "1s", "--kinds", "old"], 2, "expected new, kept, pooled, slow or half-closing"),
            (&["--for", "1s", "--connections", "2"], 2, "there are 5 kinds of clients"),
            (&["--for", "1s", "-H", "content-length: 3"], 2, "the probe sets content-length itself"),
        ];
        for (args, code, text) in cases {
            let short: &[&str] = if args.contains(&"--during") { &["--before", "0s", "--after", "50ms"] } else { &[] };
            let output =
                multi_node(&[&["probe", &url], args, short].concat()).output().await.expect("the command starts");
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), error.contains(text)), (Some(code), true), "{args:?}: {error}");
            assert!(!error.contains("os error") && !error.contains("panicked"), "{args:?}: {error}");
        }
        for (url, code, text) in [
            ("http://192.0.2.1/", 2, "192.0.2.1 (192.0.2.1) is not this host; --remote allows it"),
            ("http://127.0.0.1:1/", 1, "does not answer as wanted before anything is done to it: refused"),
            ("localhost:80", 2, "a URL begins with http:// or https://"),
        ] {
            let output = multi_node(&["probe", url, "--for", "1s"]).output().await.expect("the command starts");
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), error.contains(text)), (Some(code), true), "{url}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn some_may_be_lost_if_that_is_allowed() {
    within(30, async {
        let (code, report, error) = while_it(Manner::Fails, &[&BUSY[..], &["--max-lost", "100000"]].concat()).await;
        assert_eq!((code, report["max_lost"].as_u64()), (Some(0), Some(100_000)), "{report}{error}");
        assert!(number(&report["total"]["lost"]) >= 10, "{report}");
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_prints_what_was_measured_so_far() {
    within(30, async {
        let (server, mut waiting) = (Server::start().await, Waiting::new());
        let line = waiting.line("true");
        let mut command = multi_node(&["probe", &server.url(), "--json", "--during", &line]);
        let command = command.args(BUSY).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the command starts");
        waiting.begun().await;
        send(child.id().expect("running"), Signal::INT);
        let output = child.wait_with_output().await.expect("our child");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(output.status.code(), Some(130), "{report}");
        assert!(number(&report["total"]["answered"]) > 0, "{report}");
        assert_eq!((&report["interrupted"], &report["command"]["ended"]), (&true.into(), &"interrupted".into()));
    })
    .await;
}
