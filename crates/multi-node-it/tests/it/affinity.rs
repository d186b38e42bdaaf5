//! Requests that one node of several answers, by a key: on connections that mix keys as a proxy does, and over kills and reloads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use multi_node_it::program::send;
use multi_node_it::{Client, Plan, Program, within};
use rustix::process::Signal;
use tokio::task::JoinHandle;

const NODES: usize = 4;

/// Keys that clients have.
const KEYS: usize = 40;

fn plan() -> Plan {
    Plan { affinity: Some("query=sid".to_owned()), ..Plan::nodes(NODES) }
}

/// Asks for each key once, on this connection, and says which node has answered it.
async fn answered_by(client: &mut Client) -> BTreeMap<usize, String> {
    let mut by = BTreeMap::new();
    for key in 0..KEYS {
        let answer = client.get(&format!("/?sid=user-{key}")).await.expect("an answer");
        by.insert(key, answer.id());
    }
    by
}

/// The owner of each key, once all nodes agree on it.
async fn owners(program: &Program) -> BTreeMap<usize, String> {
    loop {
        let mut seen = BTreeSet::new();
        for _ in 0..2 * NODES {
            let mut client = Client::connect(program.addr).await.expect("a connection");
            seen.insert(answered_by(&mut client).await);
        }
        if let (1, Some(owners)) = (seen.len(), seen.pop_first()) {
            return owners;
        }
    }
}

#[tokio::test]
async fn every_request_of_every_connection_is_answered_by_the_owner_of_its_key() {
    within(60, async {
        let program = Program::serving(plan()).await;
        let owners = owners(&program).await;
        assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), NODES, "each node owns some: {owners:?}");
        let asked = (0..16).map(|_| {
            let (addr, owners) = (program.addr, owners.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(addr).await.expect("a connection");
                for _ in 0..5 {
                    assert_eq!(answered_by(&mut client).await, owners);
                }
            })
        });
        for asked in asked.collect::<Vec<_>>() {
            asked.await.expect("each is answered by its owner");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn cookies_headers_and_addresses_are_keys_too() {
    within(60, async {
        for (by, head) in
            [("cookie=sid", "cookie: a=b; sid=KEY"), ("header=x-user", "X-User: KEY"), ("client-address", "a: KEY")]
        {
            let program = Program::serving(Plan { affinity: Some(by.to_owned()), ..Plan::nodes(2) }).await;
            let owning = if by == "client-address" { 1 } else { 2 };
            // Until the nodes know each other's slots, they answer what reaches them.
            while !agree(program.addr, head, owning).await {}
            program.stop().await;
        }
    })
    .await;
}

/// Whether all connections get the same answers, from this number of nodes.
async fn agree(addr: SocketAddr, head: &str, owning: usize) -> bool {
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        let mut client = Client::connect(addr).await.expect("a connection");
        let mut by = Vec::new();
        for key in 0..12 {
            let head = head.replace("KEY", &format!("user-{key}"));
            client.send(&format!("GET / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n")).await.expect("sent");
            by.push(client.answer().await.expect("an answer").id());
        }
        seen.insert(by);
    }
    let nodes: BTreeSet<_> = seen.iter().flatten().collect();
    seen.len() == 1 && nodes.len() == owning
}

#[tokio::test]
async fn without_its_owner_a_request_is_answered_by_any_node() {
    within(60, async {
        let mut program = Program::serving(Plan { restart: false, ..plan() }).await;
        let before = owners(&program).await;
        let pids = program.answering(NODES).await;
        let (killed, pid) = pids.into_iter().next().expect("there are four");
        send(pid, Signal::KILL);
        program.gone([pid]).await;
        program.status_where(|status| status.slots.iter().filter(|slot| slot.pid.is_some()).count() == NODES - 1).await;
        let mut client = Client::connect(program.addr).await.expect("a connection");
        for (key, by) in answered_by(&mut client).await {
            assert_ne!(by, killed);
            assert!(before[&key] == killed || by == before[&key], "only keys of the killed node go elsewhere");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_on_its_way_to_a_node_that_dies_is_answered_by_another() {
    within(60, async {
        let program = Program::serving(Plan { restart: false, ..plan() }).await;
        let owners = owners(&program).await;
        let owner = &owners[&0];
        let pid = program.answering(NODES).await[owner];
        let elsewhere = owners.iter().find(|(_, by)| *by != owner).expect("each owns some").0;
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = Client::connect(program.addr).await.expect("a connection");
            let answer = client.get(&format!("/?sid=user-{elsewhere}")).await.expect("an answer");
            assert_ne!(answer.id(), *owner);
            clients.push(client);
        }
        send(pid, Signal::STOP);
        for client in &mut clients {
            client.ask("/?sid=user-0").await.expect("sent");
        }
        let early = tokio::time::timeout(Duration::from_millis(200), clients[0].answer()).await;
        assert!(early.is_err(), "a node that stands still may take it at any time: {early:?}");
        send(pid, Signal::KILL);
        for mut client in clients {
            assert_ne!(client.answer().await.expect("an answer").id(), *owner);
        }
        program.stop().await;
    })
    .await;
}

/// Clients that mix keys on kept connections until they are stopped; what they return is how many requests were answered.
fn load(addr: SocketAddr, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<u64>> {
    let client = |first: usize| {
        let stop = stop.clone();
        tokio::spawn(async move {
            let mut client = Client::connect(addr).await.expect("a connection");
            let mut answered = 0;
            for key in (0..KEYS).cycle().skip(first) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let answer = client.get(&format!("/?sid=user-{key}")).await;
                assert_eq!(answer.unwrap_or_else(|error| panic!("request {answered}: {error:#}")).status, 200);
                answered += 1;
            }
            answered
        })
    };
    (0..16).map(client).collect()
}

#[tokio::test]
async fn a_reload_under_load_loses_no_request_and_keys_stay_with_their_slots() {
    within(100, async {
        let mut program = Program::serving(plan()).await;
        let before = slots(&mut program).await;
        let stop = Arc::new(AtomicBool::new(false));
        let clients = load(program.addr, &stop);
        for _ in 0..2 {
            program.command("reload").await;
        }
        stop.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for client in clients {
            answered += client.await.expect("no request is lost");
        }
        assert!(answered > 0);
        assert_eq!(slots(&mut program).await, before);
        program.stop().await;
    })
    .await;
}

/// The slot of each key.
async fn slots(program: &mut Program) -> BTreeMap<usize, u16> {
    let owners = owners(program).await;
    let status = program.status_where(|status| status.slots.len() == NODES).await;
    let slot_of = |id: &str| {
        let slot = status.slots.iter().find(|slot| slot.id.is_some_and(|own| own.to_string() == id));
        slot.unwrap_or_else(|| panic!("{id} fills a slot")).slot.0
    };
    owners.iter().map(|(key, id)| (*key, slot_of(id))).collect()
}
