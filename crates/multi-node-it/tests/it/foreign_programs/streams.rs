//! Streams between processes of two machines, at a real NATS server: whole, or reset with the reason.

use std::time::{Duration, Instant};

use multi_node_it::nats::NatsServer;
use multi_node_it::proxy::{Network, Proxy};
use multi_node_it::{Plan, Program, client, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::machines::{gateway, plan, server};

/// How long a reset may take at most where nobody says why, and signs of life are missing.
const DEADLINE: Duration = Duration::from_secs(12);

/// MiB for an echo that goes on until something happens.
const ENDLESS: u64 = 1 << 20;

async fn json(program: &Program, path: &str) -> Value {
    program.get(path).await.expect("an answer").json()
}

/// One machine has these MiB sent back by the first node of the other.
fn echo(program: &Program, machine: &str, mib: u64) -> JoinHandle<Value> {
    let (addr, path) = (program.addr, format!("/streams/echo/{machine}/0/{mib}"));
    tokio::spawn(async move { client::get(addr, &path).await.expect("an answer").json() })
}

/// Two machines, each with one node.
async fn machines(server: &NatsServer) -> [Program; 2] {
    let one = |machine| Program::serving(Plan { nodes: 1, ..plan(server, machine) });
    [one("alpha").await, one("beta").await]
}

/// An endless echo from one machine to the other, under way.
async fn under_way(from: &Program, machine: &str) -> JoinHandle<Value> {
    let before = json(from, "/streams/progress").await;
    let echo = echo(from, machine, ENDLESS);
    while json(from, "/streams/progress").await == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    echo
}

async fn reset(echo: JoinHandle<Value>) -> (String, Duration) {
    let begun = Instant::now();
    let ended = echo.await.expect("no panic");
    assert!(ended["error"].is_null(), "{ended}");
    (ended["reset"].as_str().unwrap_or_else(|| panic!("no reset: {ended}")).to_owned(), begun.elapsed())
}

#[tokio::test]
async fn bytes_come_back_whole_both_ways_at_once_beside_one_that_stalls() {
    const MIB: u64 = 64;
    let Some(server) = server().await else { return };
    within(240, async {
        let [alpha, beta] = machines(&server).await;
        assert_eq!(json(&alpha, "/streams/stall/beta/0").await, true);
        let begun = Instant::now();
        let both = [echo(&alpha, "beta", MIB), echo(&beta, "alpha", MIB)];
        for echo in both {
            let ended = echo.await.expect("no panic");
            assert_eq!(ended, json!({ "came": MIB << 20, "reset": null, "error": null }));
        }
        println!("4 x {MIB} MiB crossed in {:?}", begun.elapsed());
        let stalled = json(&alpha, "/streams/stalled").await.as_u64().expect("a number");
        assert!(stalled < 2 << 20, "windows and pipes of both ways have {stalled} bytes");
        assert_eq!(json(&alpha, "/streams/drop/beta/0").await, "the other side has dropped the stream");
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_other_process_resets_at_once() {
    let Some(server) = server().await else { return };
    within(120, async {
        let [alpha, mut beta] = machines(&server).await;
        let echo = under_way(&alpha, "beta").await;
        send(beta.pids().await[0], Signal::KILL);
        let (why, took) = reset(echo).await;
        println!("{why}, after {took:?}");
        assert!(why == "the process has ended" && took < Duration::from_secs(3), "{why} after {took:?}");
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_resets_streams_at_both_machines_and_the_next_go_by_the_new_one() {
    let Some(server) = server().await else { return };
    within(120, async {
        let [mut alpha, mut beta] = machines(&server).await;
        for of_alpha in [true, false] {
            let echo = under_way(&alpha, "beta").await;
            let program = if of_alpha { &mut alpha } else { &mut beta };
            let pid = gateway(program).await;
            send(pid, Signal::KILL);
            let (why, took) = reset(echo).await;
            println!("{why}, after {took:?}");
            assert!(
                why == "the gateway of one of the machines was replaced" && took < DEADLINE,
                "{why} after {took:?}"
            );
            program
                .status_where(|status| status.gateway.as_ref().is_some_and(|now| now.connected && now.pid != Some(pid)))
                .await;
        }
        let ended = echo(&alpha, "beta", 1).await.expect("no panic");
        assert_eq!(ended["came"], 1 << 20, "{ended}");
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_nats_streams_are_reset() {
    let Some(mut server) = server().await else { return };
    within(120, async {
        let [alpha, beta] = machines(&server).await;
        let echo = under_way(&alpha, "beta").await;
        server.kill();
        let (why, took) = reset(echo).await;
        println!("{why}, after {took:?}");
        assert!(why == "NATS is not there" && took < DEADLINE, "{why} after {took:?}");
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_machine_that_is_cut_off_loses_its_streams_at_both_ends_and_has_new_ones_when_it_is_back() {
    let Some(server) = server().await else { return };
    within(180, async {
        let proxy = Proxy::before(server.addr()).await;
        proxy.set(Network::Passes(Duration::from_millis(10)));
        let one = |url: String, machine: &str| {
            Program::serving(Plan { nodes: 1, join: Some((url, machine.to_owned())), ..plan(&server, machine) })
        };
        let (alpha, beta) = (one(proxy.url(), "alpha").await, one(server.url(), "beta").await);
        let whole = json!({ "came": 4 << 20, "reset": null, "error": null });
        assert_eq!(echo(&alpha, "beta", 4).await.expect("no panic"), whole, "with a delay");
        let echoes = [under_way(&alpha, "beta").await, under_way(&beta, "alpha").await];
        proxy.set(Network::Swallows);
        for echo in echoes {
            let (why, took) = reset(echo).await;
            println!("{why}, after {took:?}");
            let expected =
                ["a part of the stream, or its confirmation, was lost", "its machine is silent", "NATS is not there"];
            assert!(expected.contains(&why.as_str()) && took < DEADLINE, "{why} after {took:?}");
        }
        proxy.set(Network::Passes(Duration::ZERO));
        while echo(&alpha, "beta", 4).await.expect("no panic") != whole {}
        assert_eq!(echo(&beta, "alpha", 4).await.expect("no panic"), whole);
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}
