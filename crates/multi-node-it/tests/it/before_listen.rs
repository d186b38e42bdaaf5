//! What a program opens before `listen` every process opens, of which the master warns.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use multi_node_it::example::Example;
use multi_node_it::plan::Early;
use multi_node_it::program::fixture;
use multi_node_it::{Plan, Program, needs, within};

const WARNING: &str = "opened before `listen`";

/// What the log has of it, once every slot serves.
async fn warnings(plan: Plan) -> Vec<String> {
    let program = Program::serving(plan).await;
    let log = program.log();
    program.stop().await;
    log.lines().filter(|line| line.contains(WARNING)).map(str::to_owned).collect()
}

/// A server that is connected to, and nothing more.
fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}

#[tokio::test]
async fn connections_and_threads_are_warned_of_once_by_the_master() {
    within(30, async {
        let (_database, addr) = server();
        let early = Early { connections: 3, server: Some(addr), threads: 9 };
        for threads in [1, 2] {
            let seen = warnings(Plan { early, threads, ..Plan::nodes(2) }).await;
            assert_eq!(seen.len(), 1, "{seen:?}");
            let text = "3 TCP connections and 9 threads (early × 9) were opened before `listen`: code there runs in every \
                process; open pools and caches in the closure of `http_with`";
            assert!(seen[0].contains("WARN multi_node: ") && seen[0].contains(text), "{seen:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_is_no_reason_to_warn_again() {
    within(30, async {
        let early = Early { threads: 1, ..Early::default() };
        let mut program = Program::serving(Plan { early, ..Plan::nodes(1) }).await;
        program.upgrade().await.expect("a new master");
        assert_eq!(program.log().matches(WARNING).count(), 1, "{}", program.log());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_opens_nothing_is_not_warned() {
    within(30, async {
        for threads in [1, 4] {
            let seen = warnings(Plan { threads, ..Plan::nodes(1) }).await;
            assert_eq!(seen, [""; 0]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_program_was_started_with_is_not_its_own() {
    if !needs::program("bash") {
        return;
    }
    within(30, async {
        let (_parents, addr) = server();
        let script = format!("exec 7<>/dev/tcp/{}/{} && exec \"$0\"", addr.ip(), addr.port());
        let mut program = Program::run(Path::new("bash"), Plan::nodes(1), |bash| {
            bash.arg("-c").arg(script).arg(fixture());
        })
        .await;
        program.command("ready").await;
        assert!(!program.log().contains(WARNING), "{}", program.log());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_warning_can_be_turned_off_and_one_process_gives_none() {
    within(30, async {
        let early = Early { threads: 1, ..Early::default() };
        assert_eq!(warnings(Plan { early, warn_before_listen: false, ..Plan::nodes(1) }).await, [""; 0]);
        assert_eq!(warnings(Plan { early, ..Plan::nodes(0) }).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn examples_are_not_warned() -> anyhow::Result<()> {
    for name in ["hello", "tcp_echo", "actix", "chat"] {
        let example = Example::start(name, &[("PORT", "0"), ("HOST", "127.0.0.1"), ("NODES", "1")]).await?;
        let log = example.log();
        example.stop().await?;
        assert!(!log.contains(WARNING), "{name}: {log}");
    }
    Ok(())
}
