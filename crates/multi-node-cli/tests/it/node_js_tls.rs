//! Node.js programs that serve TLS: all nodes have one set of ticket keys, which the primary keeps in memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use multi_node_it::{needs, within};
use tokio::process::Command;

use crate::command::{Running, app};

const KINDS: [&str; 3] = ["https", "tls", "http2"];

/// What six handshakes saw, with the session that is kept in the folder.
struct Handshakes {
    resumed: usize,
    bodies: BTreeSet<String>,
}

impl Handshakes {
    async fn with(node: &str, kind: &str, addr: SocketAddr, folder: &Path, path: &str) -> Handshakes {
        let (client, port, file) = (app("tls-client.js"), addr.port().to_string(), folder.join(kind));
        let output = Command::new(node).args([client.as_str(), kind, &port]).arg(file).arg(path).output().await;
        let output = output.expect("the client starts");
        assert!(output.status.success(), "{kind}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let (bodies, resumed) = text.trim().rsplit_once('\n').expect("answers and a count");
        Handshakes { resumed: resumed.parse().expect("a count"), bodies: bodies.lines().map(str::to_owned).collect() }
    }
}

/// Each kind of server resumes the sessions of all nodes.
async fn all_resume(node: &str, addrs: &[SocketAddr], folder: &Path, expected: usize) {
    for (kind, addr) in KINDS.iter().zip(addrs) {
        let seen = Handshakes::with(node, kind, *addr, folder, "/").await;
        assert_eq!(seen.bodies.len(), 2, "{kind}: both nodes have answered");
        assert_eq!(seen.resumed, expected, "{kind}");
    }
}

/// The ticket keys of both nodes, which are the same.
async fn keys(node: &str, addr: SocketAddr, folder: &Path) -> String {
    let keys = Handshakes::with(node, "https", addr, folder, "/keys").await.bodies;
    assert_eq!(keys.len(), 1, "both nodes have the same keys");
    keys.into_iter().next().expect("keys")
}

/// Serves all kinds in two nodes: sessions are resumed at either, after a reload and after an upgrade.
pub(crate) async fn serves_tls(node: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(&["-n", "2", "--ready-after", "1h", "--", node, &app("tls.js")]);
    let mut addrs = Vec::new();
    for _ in KINDS {
        addrs.push(running.addr().await);
    }
    running.ready(2).await;
    all_resume(node, &addrs, folder.path(), 5).await;
    let first = keys(node, addrs[0], folder.path()).await;
    for command in [&["reload", "--wait"][..], &["upgrade"], &["reload", "--wait"]] {
        let output = running.command(command).await;
        assert_eq!(output.status.code(), Some(0), "{command:?}: {output:?}");
        all_resume(node, &addrs, folder.path(), 6).await;
    }
    assert_eq!(keys(node, addrs[0], folder.path()).await, first);
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.exit().await, Some(0));
    assert!(running.seen.iter().all(|line| !line.contains(&first)), "the log is no place for keys");
}

#[tokio::test]
async fn tls_sessions_are_resumed_by_every_node_over_reloads_and_upgrades() {
    if needs::program("node") {
        within(120, serves_tls("node")).await;
    }
}

#[tokio::test]
async fn a_tls_server_whose_port_is_taken_hears_so() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let tells = "on('error', ({ code }) => { console.error('heard', code); process.exit(3) })";
        let program = format!("require('https').createServer().{tells}.listen({port}, '0.0.0.0')");
        let file = tempfile::NamedTempFile::with_suffix(".js").expect("a file");
        std::fs::write(file.path(), program).expect("written");
        let script = file.path().to_string_lossy();
        let mut running = Running::start(&["-n", "1", "--", "node", &script]);
        running.logged("heard EADDRINUSE").await;
        running.signal(rustix::process::Signal::TERM);
        running.exit().await;
    })
    .await;
}
