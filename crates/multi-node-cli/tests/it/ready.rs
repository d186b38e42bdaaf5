//! How it is seen that a program serves.

use multi_node_it::{needs, within};

use crate::command::{Running, app, built, json_of};

/// Runs one node until it is ready, and returns the log line that names the sign.
async fn sign(args: &[&str]) -> String {
    let mut running = Running::start(&[&["-n", "1"], args].concat());
    let sign = running.logged("taken for ready").await;
    running.ready(1).await;
    assert_eq!(running.stop().await, Some(0));
    sign
}

#[tokio::test]
async fn each_sign_of_readiness_is_seen_and_named() {
    let server = built("listenfd_axum");
    // No age is ever reached, so that the sign is the one that is meant.
    let old = ["--ready-after", "1h"];
    let bound = [&old[..], &["--bind", "127.0.0.1:0"]].concat();
    let cases: [(&[&str], &[&str], &str); 6] = [
        (&bound, &["--", &server], "it was seen waiting for connections"),
        (&bound, &["--", "python3", "-c", ACCEPTS], "it was seen waiting for connections"),
        // Said before anybody waits, it is still the sign.
        (&bound, &["--ready-fd", "4", "--", "python3", "-c", TELLS], "it wrote to its notification descriptor"),
        (
            &old,
            &["--ready-fd", "4", "--", "sh", "-c", "echo >&4; exec sleep 1000"],
            "it wrote to its notification descriptor",
        ),
        (
            &old,
            &["--ready", "notify", "--", "sh", "-c", "systemd-notify --ready; exec sleep 1000"],
            "it notified READY=1",
        ),
        (
            &old,
            &["--ready-http", "/", "--", "python3", "-m", "http.server", "--bind", "127.0.0.1", "{node_port}"],
            "it answered over HTTP",
        ),
    ];
    for (options, program, expected) in cases {
        let needed = [("python3", "python3"), ("systemd-notify --ready; exec sleep 1000", "systemd-notify")];
        if !needed.iter().all(|(word, tool)| !program.contains(word) || needs::program(tool)) {
            continue;
        }
        within(20, async {
            let sign = sign(&[options, program].concat()).await;
            assert!(sign.contains(expected), "{program:?}: {sign}");
        })
        .await;
    }
    within(20, async {
        let sign = sign(&["--ready-after", "50ms", "--", "sleep", "1000"]).await;
        assert!(sign.contains("it runs, and gave no readiness signal"), "{sign}");
    })
    .await;
}

#[tokio::test]
async fn a_node_js_program_that_has_an_address_is_ready_when_it_listens() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = folder.path().join("listen");
        let env = format!("AFTER={}", gate.display());
        let server = app("server.js");
        let young = ["-n", "1", "--ready-after", "10ms", "-e", &env];
        let mut running = Running::start(&[&young[..], &["--bind", "127.0.0.1:0", "--", "node", &server]].concat());
        running.logged("started").await;
        // As long as it does not listen, no time makes it ready.
        let old = |slot: &serde_json::Value| slot["state"] == "initializing" && slot["for_ms"].as_u64() > Some(100);
        while !old(&json_of(&["status", "--name", &running.name]).await["slots"][0]) {}
        std::fs::write(&gate, "").expect("a file of ours");
        let sign = running.logged("taken for ready").await;
        assert!(sign.contains("it told its primary that it listens"), "{sign}");
        assert_eq!(running.stop().await, Some(0));

        let never = ["-e", "AFTER=/nowhere", "--start-timeout", "500ms", "--", "node", &server];
        let mut running = Running::start(&[&young[..4], &["--bind", "127.0.0.1:0"], &never[..]].concat());
        let cause = running.logged("it did not become ready within 500 ms").await;
        assert!(cause.contains("none of its servers listens"), "{cause}");
        assert_eq!(running.exit().await, Some(1));

        // So it is without an address, which it may bring along.
        let mut running = Running::start(&[&young[..4], &never[..]].concat());
        let cause = running.logged("it did not become ready within 500 ms").await;
        assert!(cause.contains("if it is to serve nothing, run it with --ready=age"), "{cause}");
        assert_eq!(running.exit().await, Some(1));
        let mut running = Running::start(&[&["--ready=age"], &young[..4], &never[..2], &never[4..]].concat());
        let sign = running.logged("taken for ready").await;
        assert!(sign.contains("it runs, and gave no readiness signal"), "{sign}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn the_sign_is_in_the_status() {
    within(20, async {
        let mut running = Running::start(&["-n", "1", "--ready-after", "50ms", "--", "sleep", "1000"]);
        running.ready(1).await;
        let status = json_of(&["status", "--name", &running.name]).await;
        assert_eq!(status["slots"][0]["ready_by"], "assumed", "{status}");
        let shown = running.command(&["status"]).await;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("node-1: ready by assumed"), "{shown}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

/// It says that it is ready, and listens later.
const TELLS: &str = "import os, socket, time; os.write(4, b'\\n'); time.sleep(0.3); socket.socket(fileno=3).accept()";

/// A thread that sleeps in accept.
const ACCEPTS: &str = "import socket; socket.socket(fileno=3).accept()";

#[tokio::test]
async fn a_program_that_never_says_that_it_is_ready_is_given_up() {
    within(30, async {
        let mut running =
            Running::start(&["-n", "1", "--ready", "notify", "--start-timeout", "100ms", "--", "sleep", "1000"]);
        running.logged("it did not become ready within 100 ms").await;
        assert_eq!(running.exit().await, Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_notification_from_outside_the_node_is_refused() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    within(30, async {
        let mut running = Running::start(&[
            "-n",
            "1",
            "--ready",
            "notify",
            "--",
            "sh",
            "-c",
            "echo >&2 at $NOTIFY_SOCKET; exec sleep 1000",
        ]);
        let line = running.logged("at @").await;
        let name = line.split('@').nth(1).expect("an abstract name").trim();
        let socket = UnixDatagram::unbound().expect("a socket");
        let addr = SocketAddr::from_abstract_name(name).expect("a name");
        socket.send_to_addr(b"READY=1", &addr).expect("sent");
        running.logged("from a process that is none of the node's is ignored").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
