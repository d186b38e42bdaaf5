//! Unmodified socket.io with default transports, by affinity: each client connects without an error, and again after a reload.

use std::process::Stdio;

use multi_node_it::{needs, within};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::command::{Running, app};

const CLIENTS: usize = 20;

async fn connect(affinity: &str, by: &str) {
    let Some(modules) = needs::server("cluster/node_modules").filter(|_| needs::program("node")) else { return };
    within(120, async {
        let (path, program) = (format!("NODE_PATH={modules}"), app("sockets/server.js"));
        let shape = ["-n", "4", "--bind", "127.0.0.1:0", "--settle", "100ms", "--drain-timeout", "2s"];
        let args = ["--affinity", affinity, "-e", &path, "--", "node", &program];
        let (running, addr) = Running::serving(&[&shape[..], &args[..]].concat(), 4).await;
        let mut command = Command::new("node");
        command.args([&app("sockets/clients.js"), &format!("http://{addr}"), &CLIENTS.to_string(), by]);
        command.env("NODE_PATH", &modules).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut clients = command.spawn().expect("node starts");
        let mut lines = BufReader::new(clients.stdout.take().expect("a pipe")).lines();
        let mut are_connected = async || {
            let line = lines.next_line().await.expect("a pipe").expect("a report");
            let report: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!((&report["connected"], &report["errors"]), (&json!(CLIENTS), &json!([])), "{report}");
            assert!(report["processes"].as_u64().is_some_and(|count| count > 1), "{report}");
        };
        are_connected().await;
        clients.stdin.take().expect("a pipe").write_all(b"\n").await.expect("written");
        let output = running.command(&["reload", "--wait"]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        are_connected().await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn socket_io_connects_by_the_addresses_of_clients() {
    connect("client-address", "address").await;
}

#[tokio::test]
async fn socket_io_connects_by_a_header() {
    connect("header=x-user", "header").await;
}
