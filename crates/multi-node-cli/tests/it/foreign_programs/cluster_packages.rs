//! Packages of npm whose code for the primary runs by `--primary FILE`: over four nodes, after a reload, and after the primary was
//! killed.

use std::net::SocketAddr;
use std::time::Duration;

use multi_node_it::{client, needs, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::command::{Running, app};

const NODES: usize = 4;

/// How many requests each key is allowed.
const LIMIT: usize = 20;

struct Packages {
    running: Running,
    addr: SocketAddr,
    modules: String,
    /// The pid of the primary.
    primary: u32,
}

impl Packages {
    /// `None`: they were not fetched.
    async fn start() -> Option<Packages> {
        let modules = needs::server("cluster/node_modules").filter(|_| needs::program("node"))?;
        let (path, count) = (format!("NODE_PATH={modules}"), NODES.to_string());
        let (primary, worker) = (app("primary/packages-primary.js"), app("primary/packages-worker.js"));
        let options = ["-n", &count, "--bind", "127.0.0.1:0", "--settle", "100ms", "-e", &path, "--primary", &primary];
        let mut running = Running::start(&[&options[..], &["--", "node", &worker]].concat());
        let addr = running.addr().await;
        let primary = started(&mut running).await;
        running.ready(NODES).await;
        Some(Packages { running, addr, modules, primary })
    }

    /// How many requests of one key were answered so.
    async fn limited(&self, limiter: &str, key: &str) -> (usize, usize) {
        let ask = |_| status(self.addr, format!("/{limiter}/{key}"));
        let statuses = (0..4 * LIMIT).map(ask).collect::<JoinSet<_>>().join_all().await;
        let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!(count(200) + count(429), statuses.len(), "{statuses:?}");
        (count(200), count(429))
    }

    async fn rooms(&self) {
        let clients = 4 * NODES;
        let mut command = Command::new("node");
        let (file, url) = (app("primary/rooms.js"), format!("http://{}", self.addr));
        command.args([&file, &url, &clients.to_string()]).env("NODE_PATH", &self.modules).kill_on_drop(true);
        let output = command.output().await.expect("node starts");
        let heard: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(heard, json!({ "nodes": NODES, "heard": vec![clients; clients] }), "{output:?}");
    }

    /// All three, over all nodes.
    async fn work(&self, when: &str) {
        for limiter in ["flexible", "express"] {
            let counted = self.limited(limiter, when).await;
            println!("{when}: {limiter} allowed {} and refused {}", counted.0, counted.1);
            assert_eq!(counted, (LIMIT, 3 * LIMIT), "{limiter}, {when}");
        }
        self.rooms().await;
    }

    /// Waits for the next primary, until every limiter has answered.
    async fn comes_back(&mut self) {
        self.primary = started(&mut self.running).await;
        for limiter in ["flexible", "express"] {
            while status(self.addr, format!("/{limiter}/back")).await == 500 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// The status of the answer.
async fn status(addr: SocketAddr, path: String) -> u16 {
    client::get(addr, &path).await.expect("an answer").status
}

async fn started(running: &mut Running) -> u32 {
    let line = running.logged("primary process started").await;
    line.rsplit("pid=").next().and_then(|pid| pid.trim().parse().ok()).expect("a pid")
}

#[tokio::test]
async fn packages_that_share_by_their_primary_work() {
    within(120, async {
        let Some(mut packages) = Packages::start().await else { return };
        packages.work("at-the-start").await;

        let reload = packages.running.command(&["reload", "--wait"]).await;
        assert_eq!(reload.status.code(), Some(0), "{reload:?}");
        packages.comes_back().await;
        packages.work("after-a-reload").await;

        send(packages.primary, Signal::KILL);
        packages.comes_back().await;
        packages.work("after-the-primary-was-killed").await;
        assert_eq!(packages.running.stop().await, Some(0));
    })
    .await;
}
