//! Topics and requests between real processes: over reloads, kills and upgrades, and in a process that serves alone.

mod clients;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use multi_node::status::{NodeId, SlotStatus};
use multi_node_it::{Client, Plan, Program, from_env, limits, procfs, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::handoff::{answered, kept};

fn plan(nodes: usize) -> Plan {
    Plan { bus: true, ..Plan::nodes(nodes) }
}

async fn ask(program: &Program, path: &str) -> Value {
    program.get(path).await.expect("an answer").json()
}

/// What each node has received that serves now, once each has `least` messages.
async fn received(program: &mut Program, least: usize) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeMap::new();
    for slot in program.status().await.slots {
        let id = slot.id.expect("it serves").to_string();
        let mut node = program.connected_to(&id).await;
        loop {
            let answer = node.get("/bus/received").await.expect("an answer").json();
            let lines = answer["received"].as_array().expect("a list").iter();
            let lines: Vec<_> = lines.map(|line| line.as_str().expect("a line").to_owned()).collect();
            if lines.len() >= least {
                seen.insert(id, lines);
                break;
            }
        }
    }
    seen
}

async fn publish(program: &Program, texts: impl IntoIterator<Item = usize>) {
    for text in texts {
        let answer = program.get(&format!("/bus/publish/{text}")).await.expect("an answer").body;
        assert!(answer.contains("Published"), "{answer}");
    }
}

/// The texts without their publishers.
fn texts(lines: &[String]) -> Vec<usize> {
    let mut texts: Vec<usize> =
        lines.iter().map(|line| line.split_once(':').expect("a message").1.parse().expect("a number")).collect();
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn every_node_gets_every_message_once_and_newcomers_get_the_history() {
    within(90, async {
        let mut program = Program::serving(plan(4)).await;
        publish(&program, 0..20).await;
        let all: Vec<usize> = (0..20).collect();
        for (id, lines) in received(&mut program, 20).await {
            assert_eq!(texts(&lines), all, "{id}");
        }
        send(program.pids().await[0], Signal::KILL);
        program.status_where(|status| status.is_ready() && status.slots.iter().any(|slot| slot.restarts == 1)).await;
        for (id, lines) in received(&mut program, 20).await {
            assert_eq!(texts(&lines), all, "{id}, after a kill");
        }
        assert!(program.command("reload").await["Ok"].is_object());
        publish(&program, 20..30).await;
        let all: Vec<usize> = (0..30).collect();
        for (id, lines) in received(&mut program, 30).await {
            assert_eq!(texts(&lines), all, "{id}, after a reload");
        }
        program.upgrade().await.expect("the new program takes over");
        program.at_rest().await;
        publish(&program, 30..40).await;
        let all: Vec<usize> = (0..40).collect();
        for (id, lines) in received(&mut program, 40).await {
            assert_eq!(texts(&lines), all, "{id}, after an upgrade");
        }
        program.stop().await;
    })
    .await;
}

/// When a test in trouble ends: after this number of deliveries, or after `BUS_SECONDS`, for the long lane.
fn is_over(begin: Instant, deliveries: u64) -> bool {
    seconds().map_or(deliveries >= 300_000, |seconds| begin.elapsed() >= Duration::from_secs(seconds))
}

fn seconds() -> Option<u64> {
    from_env("BUS_SECONDS")
}

/// All nodes publish while one is killed or stopped, or all are replaced, or become more or fewer.
async fn publish_in_trouble(program: &mut Program, random: &mut fastrand::Rng) {
    let (addr, counts) = (program.addr, random.u64(1..400));
    let flood: Vec<_> = (0..24)
        .map(|_| tokio::spawn(async move { multi_node_it::client::get(addr, &format!("/bus/count/{counts}")).await }))
        .collect();
    let mut killed = None;
    match random.u8(0..5) {
        0 => {
            killed = random.choice(program.pids().await);
            send(killed.expect("a node"), Signal::KILL);
        }
        1 => assert!(program.command("reload").await["Ok"].is_object()),
        2 => assert!(program.command(&format!("scale {}", random.u8(2..6))).await["Ok"].is_object()),
        3 => {
            let stopped = random.choice(program.pids().await).expect("a node");
            send(stopped, Signal::STOP);
            tokio::time::sleep(Duration::from_millis(random.u64(1..1000))).await;
            send(stopped, Signal::CONT);
        }
        _ => {}
    }
    for count in flood {
        // The killed node may have been the one that counted.
        drop(count.await.expect("no panic"));
    }
    let is_replaced = |slot: &SlotStatus| killed.is_none() || slot.pid != killed;
    program.status_where(|status| status.is_ready() && status.slots.iter().all(is_replaced)).await;
}

#[tokio::test]
async fn no_message_is_missed_silently_over_kills_stops_reloads_and_scaling() {
    const SEED: u64 = 1;
    within(90 + seconds().unwrap_or_default(), async {
        let mut program = Program::serving(plan(4)).await;
        let (mut random, begin) = (fastrand::Rng::with_seed(SEED), Instant::now());
        let (mut received, mut lagged) = (BTreeMap::new(), BTreeMap::new());
        while !is_over(begin, received.values().sum::<u64>()) {
            publish_in_trouble(&mut program, &mut random).await;
            audit(&mut program, &mut received, &mut lagged).await;
        }
        println!("{} deliveries, {} missed and told", received.values().sum::<u64>(), lagged.values().sum::<u64>());
        program.stop().await;
    })
    .await;
}

/// What the nodes that serve now have received since they began, and what they were told to have missed: all of it in order, and without a silent gap.
async fn audit(program: &mut Program, received: &mut BTreeMap<String, u64>, lagged: &mut BTreeMap<String, u64>) {
    for slot in program.status().await.slots {
        let id = slot.id.expect("it serves").to_string();
        let mut node = program.connected_to(&id).await;
        let audit = node.get("/bus/audit").await.expect("an answer").json();
        assert_eq!(audit["wrong"], json!([]), "{id}: {audit}");
        received.insert(id.clone(), audit["messages"].as_u64().expect("a number"));
        lagged.insert(id, audit["lagged"].as_u64().expect("a number"));
    }
}

/// Reloads while clients ask on kept connections, which all are handed off, and gives how long 99 of 100 answers took at most.
async fn asked_beside_a_reload(program: &mut Program) -> Duration {
    let (addr, over) = (program.addr, Arc::new(AtomicBool::new(false)));
    let ask = |over: Arc<AtomicBool>| async move {
        let mut client = Client::connect(addr).await.expect("a connection");
        let mut times = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let begin = Instant::now();
            client.get("/").await.expect("an answer, also of the node that the connection was handed to");
            times.push(begin.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times
    };
    let asking: Vec<_> = (0..20).map(|_| tokio::spawn(ask(over.clone()))).collect();
    assert!(program.command("reload").await["Ok"].is_object());
    over.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for asked in asking {
        times.extend(asked.await.expect("no panic"));
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// What nodes offer each other on a topic delays neither a reload nor a hand-off, and takes bounded memory.
#[tokio::test]
async fn a_flood_on_a_topic_costs_a_reload_beside_it_no_connection() {
    /// What may wait for peers and in subscriptions, and what the program has without.
    const MOST: u64 = 256 << 20;
    /// The flood takes all processors, which the clients and other tests want too.
    const ON_A_BUSY_MACHINE: Duration = Duration::from_millis(500);
    within(90, async {
        limits::raise_open_files();
        let mut program = Program::serving(plan(2)).await;
        let quiet = asked_beside_a_reload(&mut program).await;
        let clients = kept(&program, 1000).await;
        let addr = program.addr;
        let flood = || tokio::spawn(async move { multi_node_it::client::get(addr, "/bus/flood/4000").await });
        let floods: Vec<_> = (0..4).map(|_| flood()).collect();
        program.status_where(|status| status.slots.iter().map(|slot| slot.in_flight).sum::<u64>() == 4).await;
        let old = program.pids().await;
        let flooded = asked_beside_a_reload(&mut program).await;
        let ids = answered(clients).await;
        println!("99 of 100 answers took at most {quiet:?} beside a reload, and {flooded:?} beside the flood too");
        assert!(flooded < quiet * 2 + ON_A_BUSY_MACHINE, "{flooded:?} beside {quiet:?}");
        assert_eq!(ids.len(), 1000, "{}", program.log());
        for pid in old.into_iter().filter(|pid| procfs::is_alive(*pid)).chain(program.pids().await) {
            assert!(procfs::resident(pid) < MOST, "{pid} has {} bytes", procfs::resident(pid));
        }
        let mut bytes = 0;
        for flood in floods {
            bytes += flood.await.expect("no panic").expect("an answer").json()["bytes"].as_u64().expect("a number");
        }
        assert!(bytes > 100 << 20, "the flood was {bytes} bytes");
        println!("{} MB/s were offered", bytes / 4_000_000);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn requests_reach_any_one_or_all_and_a_killed_node_is_gone_at_once() {
    within(60, async {
        let mut program = Program::serving(plan(3)).await;
        assert!(ask(&program, "/bus/any/0").await["ok"].is_string());
        for id in 1..=3 {
            assert_eq!(ask(&program, &format!("/bus/one/node-{id}/0")).await, json!({ "ok": NodeId::node(id) }));
        }
        assert_eq!(ask(&program, "/bus/all").await, json!(["node-1", "node-2", "node-3"]));
        let none = ask(&program, "/bus/one/node-99/0").await;
        let says = none["error"].as_str().expect("an error");
        assert!(says.starts_with("node-99 is not there") && says.contains("name a slot"), "{none}");

        // Two nodes at least ask node 1, which is killed meanwhile.
        let addr = program.addr;
        let asking: Vec<_> = (0..12)
            .map(|_| tokio::spawn(async move { multi_node_it::client::get(addr, "/bus/one/node-1/60000").await }))
            .collect();
        let victim =
            program.status().await.slots.iter().find(|slot| slot.id == Some(NodeId::node(1))).and_then(|slot| slot.pid);
        program.status_where(|status| status.slots.iter().map(|slot| slot.in_flight).sum::<u64>() >= 12).await;
        send(victim.expect("it lives"), Signal::KILL);
        let mut gone = 0;
        for asked in asking {
            // The node itself had some of them.
            let Ok(answer) = asked.await.expect("no panic") else { continue };
            let answer = answer.json();
            assert!(answer["error"].as_str().expect("an error").contains("node-1 is gone"), "{answer}");
            gone += 1;
        }
        assert!(gone > 0, "somebody else has asked");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_process_that_serves_alone_has_topics_and_requests_too() {
    within(30, async {
        let mut program = Program::serving(plan(0)).await;
        publish(&program, 0..3).await;
        let all = received(&mut program, 3).await;
        assert_eq!(all.into_values().next().expect("one process"), ["master:0", "master:1", "master:2"]);
        assert_eq!(ask(&program, "/bus/any/0").await, json!({ "ok": "master" }));
        assert_eq!(ask(&program, "/bus/all").await, json!(["master"]));
        program.stop().await;
    })
    .await;
}
