//! The command replaced in place while it is the primary of Node.js programs.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use multi_node_it::client::{self, Client};
use multi_node_it::{needs, procfs, send, within};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::command::{Running, app, json_of, output, pids};
use crate::load::Load;

/// Upgrades it; where it is not refused.
async fn upgrade(running: &Running) {
    let output = running.command(&["upgrade"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn no_request_is_lost() {
    if !needs::program("node") {
        return;
    }
    within(90, async {
        let server = app("server.js");
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--drain-timeout", "5s", "--", "node", &server];
        let (mut running, addr) = Running::serving(&args, 2).await;
        let old = pids(addr, 2).await;
        let loads = (Load::under_way(addr).await, Load::kept(addr).await);
        for _ in 0..2 {
            upgrade(&running).await;
        }
        running.logged("upgrade done: generation 2 ").await;
        let report = running.command(&["reload", "--wait"]).await;
        assert_eq!(report.status.code(), Some(0), "{report:?}");
        for (kind, load) in [("one request a connection", loads.0), ("kept", loads.1)] {
            let (answered, errors) = load.stop().await;
            println!("{kind}: {} errors in {answered} requests", errors.len());
            assert!(errors.is_empty(), "{kind}: {errors:?} beside {answered} answers");
        }
        let new = pids(addr, 2).await;
        assert!(old.iter().all(|pid| !new.contains(pid)), "{old:?} became {new:?}");
        let mut children = procfs::children(running.pid());
        children.sort_unstable();
        assert_eq!(children, new, "the nodes are its children, and nobody else");
        assert!(procfs::zombies(running.pid()).is_empty());
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

/// Upgrades it once node-3 has what it has not looked at, and will refuse.
#[tokio::test]
async fn connections_that_no_node_has_taken_yet_are_carried_over() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (server, folder) = (app("server.js"), tempfile::tempdir().expect("a folder"));
        let file = |name: &str| folder.path().join(name);
        let go = |id: &str| fs::write(file(id), "").expect("a file of ours");
        let after = format!("AFTER={}", file("{id}").display());
        let stuck = format!("STUCK={}", file("{id}-stuck").display());
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "-e", &after, "-e", &stuck, "--", "node", &server];
        let mut running = Running::start(&args);
        let addr = running.addr().await;
        ["node-1", "node-2", "node-3", "node-3-stuck"].iter().for_each(|id| go(id));
        running.ready(2).await;
        let name = running.name.clone();
        let upgraded = tokio::spawn(async move { output(&["upgrade", "--name", &name]).await });
        let line = running.logged("started, generation 1").await;
        let pid = line.rsplit("pid=").next().expect("a pid").trim();
        running.ready(1).await;
        // Sooner or later it is given one.
        let mut request = tokio::spawn(client::get(addr, "/"));
        while tokio::time::timeout(Duration::from_secs(1), &mut request).await.is_ok() {
            request = tokio::spawn(client::get(addr, "/"));
        }
        go("node-4");
        let upgraded = upgraded.await.expect("no panic");
        assert_eq!(upgraded.status.code(), Some(0), "{upgraded:?}");
        fs::remove_file(file("node-3-stuck")).expect("a file of ours");
        let answer = request.await.expect("no panic").expect("an answer");
        assert_ne!(answer.body, format!("node {pid}"));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

/// The upgrade is between nodes and master when node-3 has connections that the old nodes have passed back. It has not looked at them,
/// and will refuse them. The master is replaced when they have been taken.
#[tokio::test]
async fn idle_connections_that_are_on_their_way_to_other_nodes_outlive_it() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        const CLIENTS: usize = 24;
        let (server, folder) = (app("server.js"), tempfile::tempdir().expect("a folder"));
        let file = |name: &str| folder.path().join(name);
        let go = |id: &str| fs::write(file(id), "").expect("a file of ours");
        let after = format!("AFTER={}", file("{id}").display());
        let stuck = format!("STUCK={}", file("{id}-stuck").display());
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--settle", "100ms", "-e", &after, "-e", &stuck];
        let mut running = Running::start(&[&args[..], &["--", "node", &server]].concat());
        let addr = running.addr().await;
        ["node-1", "node-2", "node-3", "node-3-stuck", "node-4"].iter().for_each(|id| go(id));
        running.ready(2).await;
        let (mut clients, mut old) = (Vec::new(), BTreeSet::new());
        for _ in 0..CLIENTS {
            let mut client = Client::connect(addr).await.expect("a connection");
            old.insert(client.get("/").await.expect("an answer").body);
            clients.push(client);
        }
        assert_eq!(old.len(), 2, "both nodes have some");
        let name = running.name.clone();
        let upgraded = tokio::spawn(async move { output(&["upgrade", "--name", &name]).await });
        running.logged("drains, for").await;
        let mut asked = JoinSet::new();
        // Until node-3 has some.
        while asked.is_empty() {
            clients.drain(..).for_each(|client| drop(asked.spawn(ask(client))));
            while let Ok(Some(answered)) = tokio::time::timeout(Duration::from_millis(500), asked.join_next()).await {
                clients.push(answered.expect("no panic").0);
            }
        }
        assert!(draining(&running).await > 0 && !upgraded.is_finished(), "nodes and master wait for node-3");
        fs::remove_file(file("node-3-stuck")).expect("a file of ours");
        let upgraded = upgraded.await.expect("no panic");
        assert_eq!(upgraded.status.code(), Some(0), "{upgraded:?}");
        running.logged("upgrade done").await;
        clients.extend(asked.join_all().await.into_iter().map(|(client, _)| client));
        let again: JoinSet<_> = clients.into_iter().map(ask).collect();
        let answers = again.join_all().await;
        assert_eq!(answers.len(), CLIENTS);
        assert!(answers.iter().all(|(_, body)| !old.contains(body)), "the old nodes are gone");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

/// A request on a kept connection.
async fn ask(mut client: Client) -> (Client, String) {
    let answer = client.get("/").await.expect("an answer");
    (client, answer.body)
}

/// How many nodes finish what they have.
async fn draining(running: &Running) -> usize {
    let status = json_of(&["status", "--name", &running.name]).await;
    let slots = status["slots"].as_array().expect("slots");
    slots.iter().filter(|slot| slot["state"] == "draining").count()
}

/// Nodes whose channels are full of what they say, and which hardly ever read.
#[tokio::test]
async fn busy_channels_are_carried_over() {
    if !needs::program("node") {
        return;
    }
    within(90, async {
        let server = app("busy.js");
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--drain-timeout", "10s", "--", "node", &server];
        let (running, addr) = Running::serving(&args, 2).await;
        let load = Load::under_way(addr).await;
        for _ in 0..3 {
            upgrade(&running).await;
        }
        let (answered, errors) = load.stop().await;
        assert!(errors.is_empty(), "{errors:?} beside {answered} answers");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn the_next_master_is_their_primary() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        // The program's own port, which the first master has bound.
        let args = ["-n", "2", "--ready-after", "1h", "--", "node", &app("server.js"), "0"];
        let (mut running, addr) = Running::serving(&args, 2).await;
        let bound = json_of(&["status", "--name", &running.name]).await["addresses"].clone();
        assert!(bound[0].as_str().is_some_and(|bound| bound.ends_with(&format!(":{}", addr.port()))), "{bound}");
        upgrade(&running).await;
        running.logged("upgrade done").await;
        let nodes = pids(addr, 2).await;
        let status = json_of(&["status", "--name", &running.name]).await;
        assert_eq!(status["slots"][0]["ready_by"], "message", "{status}");
        assert_eq!(status["addresses"], bound, "{status}");

        send(nodes[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        assert!(pids(addr, 2).await.contains(&nodes[1]), "one node's end is its own");

        // A node finishes its requests: it was asked to disconnect, and not by a signal.
        let mut request = TcpStream::connect(addr).await.expect("a connection");
        request.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
        request.readable().await.expect("the head of its answer");
        running.signal(Signal::TERM);
        let mut answer = String::new();
        request.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.contains("\r\n\r\nnode "), "{answer}");
        assert_eq!(running.exit().await, Some(0));
    })
    .await;
}
