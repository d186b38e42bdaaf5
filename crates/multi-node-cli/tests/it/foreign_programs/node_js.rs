//! Unmodified programs of npm under reloads, with the load generator autocannon. `RELOADS=50` reloads them 50 times.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;

use multi_node_it::client::Client;
use multi_node_it::{needs, send, within};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::command::{Running, app, json_of};

/// The load generator, on connections that are kept.
struct Autocannon(Child);

impl Autocannon {
    /// `options`: as its own, in JSON, such as how many requests each connection has under way.
    fn start(modules: &str, addr: SocketAddr, options: &str) -> Autocannon {
        let mut command = Command::new("node");
        command.args([&app("autocannon.js"), &format!("http://{addr}/"), options]).env("NODE_PATH", modules);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        Autocannon(command.spawn().expect("autocannon starts"))
    }

    /// What it has counted.
    async fn stop(self) -> Value {
        send(self.0.id().expect("it goes on for an hour"), Signal::INT);
        let output = self.0.wait_with_output().await.expect("it ends");
        serde_json::from_slice(&output.stdout).expect("its report")
    }
}

fn reloads() -> usize {
    std::env::var("RELOADS").ok().and_then(|reloads| reloads.parse().ok()).unwrap_or(3)
}

async fn loses_nothing(file: &str, options: &str) {
    let Some(modules) = needs::server("node/node_modules").filter(|_| needs::program("node")) else { return };
    let (reloads, program) = (reloads(), app(file));
    within(60 + 15 * reloads as u64, async {
        let path = format!("NODE_PATH={modules}");
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--settle", "100ms", "-e", &path];
        let mut running = Running::start(&[&args[..], &["--", "node", &program]].concat());
        let addr = running.addr().await;
        running.ready(2).await;
        let load = Autocannon::start(&modules, addr, options);
        for _ in 0..reloads {
            let output = running.command(&["reload", "--wait"]).await;
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        let status = json_of(&["status", "--name", &running.name]).await;
        assert_eq!(status["slots"][0]["preload"], "on", "{status}");
        let report = load.stop().await;
        let [answered, errors, timeouts, others] =
            ["2xx", "errors", "timeouts", "non2xx"].map(|count| report[count].as_u64().expect("a count"));
        println!("{file} {options}: {reloads} reloads, {answered} requests answered, {errors} errors, {timeouts} timeouts, {others} other answers");
        assert_eq!((errors, timeouts, others), (0, 0, 0), "of {answered}");
        assert!(answered > 100, "{report}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn express_loses_no_request_in_reloads() {
    loses_nothing("express.js", "{}").await;
}

#[tokio::test]
async fn fastify_loses_no_request_in_reloads() {
    loses_nothing("fastify.js", "{}").await;
}

#[tokio::test]
async fn koa_as_an_es_module_that_starts_slowly_loses_no_request_in_reloads() {
    loses_nothing("koa.mjs", "{}").await;
}

#[tokio::test]
async fn pipelined_requests_are_not_lost_in_reloads() {
    loses_nothing("express.js", r#"{"pipelining": 4}"#).await;
}

#[tokio::test]
async fn posts_are_not_lost_in_reloads() {
    let options = r#"{"method": "POST", "headers": {"content-type": "application/json"}, "body": "{\"a\":1}"}"#;
    loses_nothing("fastify.js", options).await;
}

/// Who answers each of 12 clients on a connection that they share.
async fn answered(connection: &mut Client) -> Vec<String> {
    let mut by = Vec::new();
    for client in 0..12 {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: connect.sid=s%3A{client}\r\n\r\n");
        connection.send(&request).await.expect("sent");
        by.push(connection.answer().await.expect("an answer").body);
    }
    by
}

#[tokio::test]
async fn express_answers_each_client_in_one_process_over_reloads() {
    let Some(modules) = needs::server("node/node_modules").filter(|_| needs::program("node")) else { return };
    within(60, async {
        let (path, program) = (format!("NODE_PATH={modules}"), app("express.js"));
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--settle", "100ms", "--affinity", "cookie=connect.sid"];
        // A reload, in which the clients are idle, may take longer than Node.js keeps idle connections by default.
        let env = ["-e", "KEEP_ALIVE=60000", "-e", &path];
        let (running, addr) = Running::serving(&[&args[..], &env, &["--", "node", &program]].concat(), 2).await;
        let mut first = Client::connect(addr).await.expect("a connection");
        let mut second = Client::connect(addr).await.expect("a connection");
        for _ in 0..3 {
            loop {
                let (one, other) = (answered(&mut first).await, answered(&mut second).await);
                if one == other && one.iter().collect::<BTreeSet<_>>().len() == 2 {
                    break;
                }
            }
            let output = running.command(&["reload", "--wait"]).await;
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
