//! Where a program may serve, and what it says where it may not.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use multi_node_it::program::fixture;
use multi_node_it::{Client, Fault, Plan, Program, client, within};
use rustix::process::Signal;

/// The addresses that the program says it listens on.
fn tcp(program: &Program) -> Vec<SocketAddr> {
    program.addrs.iter().filter_map(|addr| addr.parse().ok()).collect()
}

async fn body(addr: SocketAddr) -> String {
    client::get(addr, "/").await.expect("an answer").body
}

/// Fails to start, and says these words.
async fn assert_refused(plan: Plan, words: &[&str]) {
    let mut refused = Program::launch(&fixture(), plan, |_| {});
    assert_eq!(refused.exit().await, Some(1));
    let log = refused.log();
    assert!(words.iter().all(|word| log.contains(word)), "{words:?} should be in {log}");
}

#[tokio::test]
async fn one_server_has_several_addresses() {
    within(30, async {
        let binds = ["127.0.0.2:0", "[::1]:0", "localhost:0"].map(str::to_owned).to_vec();
        let program = Program::serving(Plan { binds, ..Plan::nodes(2) }).await;
        let addrs = tcp(&program);
        assert!(addrs.len() >= 4 && addrs.iter().all(|addr| addr.port() != 0), "{addrs:?}");
        assert!(addrs[2].is_ipv6() && addrs[3..].iter().all(|addr| addr.ip().is_loopback()), "{addrs:?}");
        for addr in addrs {
            assert!(body(addr).await.starts_with("node-"), "{addr}");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_host_may_be_a_name_or_ipv6() {
    within(30, async {
        for host in ["localhost", "::1"] {
            let program = Program::serving(Plan { host: host.to_owned(), ..Plan::nodes(2) }).await;
            assert!(program.addr.ip().is_loopback(), "{}", program.addr);
            assert!(body(program.addr).await.starts_with("node-"), "{}", program.addr);
            program.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_servers_have_an_address_each() {
    within(30, async {
        let mut program = Program::serving(Plan { admin: true, ..Plan::nodes(2) }).await;
        let addrs = tcp(&program);
        assert_eq!(addrs.len(), 2, "{addrs:?}");
        assert!(body(addrs[0]).await.starts_with("node-"));
        assert_eq!(body(addrs[1]).await, "admin\n");
        let report = program.command("reload").await;
        assert!(report["Ok"].is_object(), "{report}");
        assert_eq!(body(addrs[1]).await, "admin\n");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn connections_to_both_servers_are_counted_and_drained() {
    within(30, async {
        let mut program = Program::serving(Plan { admin: true, ..Plan::nodes(1) }).await;
        let mut clients = Vec::new();
        for addr in tcp(&program) {
            let mut client = Client::connect(addr).await.expect("a connection");
            client.get("/").await.expect("an answer");
            clients.push(client);
        }
        let status = program.status().await;
        assert_eq!((status.slots[0].connections, status.slots[0].requests), (2, 2), "{status:?}");
        program.signal(Signal::TERM);
        for mut client in clients {
            assert_eq!(client.rest().await.expect("an end"), "");
        }
        program.ends_well().await;
    })
    .await;
}

async fn over_unix(path: &Path) -> anyhow::Result<String> {
    Ok(Client::connect_unix(path).await?.get("/").await?.body)
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_the_program() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("app.sock");
        let plan = Plan { unix: Some(path.clone()), unix_mode: 0o600, ..Plan::nodes(2) };
        let program = Program::serving(plan.clone()).await;
        let file = path.metadata().expect("the socket file");
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert!(over_unix(&path).await.expect("an answer").starts_with("node-"));
        let who = Client::connect_unix(&path).await.expect("a connection").get("/who").await.expect("an answer").json();
        assert_eq!(who["ends"], serde_json::json!(["unix", "unix"]), "{who}");

        let in_use = format!("unix:{}", path.display());
        assert_refused(plan, &[&in_use, "address in use", "another program serves this path"]).await;
        assert!(
            over_unix(&path).await.expect("an answer").starts_with("node-"),
            "the file is still the first program's"
        );
        program.stop().await;
        assert!(!path.exists(), "the socket file is left behind");
    })
    .await;
}

#[tokio::test]
async fn a_program_starts_while_another_drains_and_keeps_its_addresses() {
    within(20, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("app.sock");
        // An address of its own, of which no other test's program can be given the port when it is free.
        let plan = Plan { host: "127.0.0.23".to_owned(), unix: Some(path.clone()), ..Plan::nodes(2) };
        let mut old = Program::serving(plan.clone()).await;
        let port = old.addr.port();
        let mut client = old.begin("/sleep/1500").await;
        let mut over_path = Client::connect_unix(&path).await.expect("a connection");
        over_path.ask("/sleep/1500").await.expect("sent");
        old.status_where(|s| s.slots.iter().map(|slot| slot.in_flight).sum::<u64>() == 2).await;
        old.signal(Signal::TERM);
        while Client::connect(old.addr).await.is_ok() || Client::connect_unix(&path).await.is_ok() {}

        let new = Program::serving(Plan { port, ..plan }).await;
        assert_eq!(client.answer().await.expect("an answer").body, "slept 1500\n");
        assert_eq!(over_path.answer().await.expect("an answer").body, "slept 1500\n");
        drop((client, over_path));
        old.exit().await;
        assert!(over_unix(&path).await.expect("an answer").starts_with("node-"));
        new.get("/").await.expect("an answer");
        new.stop().await;
        assert!(!path.exists(), "the socket file is left behind");
    })
    .await;
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("app.sock");
        let plan = Plan { unix: Some(path.clone()), ..Plan::nodes(2) };
        let mut killed = Program::serving(plan.clone()).await;
        killed.signal(Signal::KILL);
        killed.exit().await;
        killed.leaves_nobody().await;
        assert!(path.exists(), "nobody could remove it");
        let program = Program::serving(plan).await;
        assert!(over_unix(&path).await.expect("an answer").starts_with("node-"));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn other_files_are_left_alone() {
    within(30, async {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "precious").expect("a file of ours");
        let plan = Plan { unix: Some(file.path().to_owned()), ..Plan::nodes(2) };
        assert_refused(plan, &["a file that is no socket is in the way", "remove it or choose another path"]).await;
        assert_eq!(std::fs::read(file.path()).expect("a file of ours"), b"precious");
    })
    .await;
}

#[tokio::test]
async fn an_address_in_use_is_named_with_a_remedy() {
    within(30, async {
        let program = Program::serving(Plan::nodes(2)).await;
        let port = program.addr.port();
        let words = [&format!("cannot listen on 127.0.0.1:{port}"), "another program has this port", "ss -ltnp"];
        assert_refused(Plan { port, ..Plan::nodes(2) }, &words).await;
        assert!(body(program.addr).await.starts_with("node-"));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_address_of_another_machine_is_named_with_a_remedy() {
    within(30, async {
        // A documentation address (RFC 5737).
        let plan = Plan { host: "192.0.2.1".to_owned(), ..Plan::nodes(2) };
        assert_refused(plan, &["cannot listen on 192.0.2.1:0", "this machine has no such address"]).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_bound_when_one_address_fails() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("missing/app.sock");
        let plan = Plan { unix: Some(path), ..Plan::nodes(2) };
        assert_refused(plan, &["make the socket's directory first"]).await;
        let (first, second) = (folder.path().join("first.sock"), folder.path().join("missing/second.sock"));
        let binds = [first.clone(), second].map(|path| format!("unix:{}", path.display())).to_vec();
        assert_refused(Plan { binds, ..Plan::nodes(2) }, &["second.sock"]).await;
        assert!(!first.exists(), "the first address's socket file is left behind");
    })
    .await;
}

#[tokio::test]
async fn no_socket_file_is_left_by_a_service_that_could_not_begin() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("app.sock");
        Fault::FailFactory.lay(folder.path());
        let plan = Plan { unix: Some(path.clone()), faults: folder.path().to_owned(), ..Plan::nodes(0) };
        assert_refused(plan.clone(), &["cannot reach the database"]).await;
        assert!(!path.exists(), "of a process that serves alone");
        assert_refused(Plan { nodes: 2, ..plan }, &["cannot reach the database"]).await;
        assert!(!path.exists(), "of a master without nodes");
    })
    .await;
}
