//! Three machines, between which everything breaks at random: the server of NATS, gateways, the network of one machine or of all. Meanwhile their
//! programs are reloaded and upgraded.
//!
//! Local messages lose nothing, no subscription gets a message twice, and every gap shows. At most one process leads, each term has another token, and
//! all machines see the same session at the end. `CHAOS_SEED` and `CHAOS_SECONDS`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use multi_node_bus::RemoteProcess;
use multi_node_fleet::id::{NodeId, Slot};
use multi_node_it::nats::NatsServer;
use multi_node_it::proxy::{Network, Proxy};
use multi_node_it::{Client, Plan, Program, from_env, send, within};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::joined::{get, lead, terms};
use super::machines::{gateway, plan};

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// How many numbers a machine publishes at once, and how often.
const AT_ONCE: u64 = 5;
const EVERY: Duration = Duration::from_millis(10);

/// So the session does not expire meanwhile.
const DAY_MS: u64 = 24 * 3_600_000;

/// A machine. The node in slot 0 publishes, and is never killed.
struct TestMachine {
    program: Program,
    proxy: Proxy,
    epoch: u64,
    publishing: Publishing,
}

/// What a node publishes until it is over.
struct Publishing {
    by: NodeId,
    /// The last number.
    last: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Publishing {
    /// By the node in slot 0.
    async fn start(program: &mut Program) -> Publishing {
        let by = program.at_rest().await.slots[0].id.expect("it serves");
        let (last, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let client = program.connected_to(&by.to_string()).await;
        let task = tokio::spawn(publish(client, last.clone(), over.clone()));
        Publishing { by, last, over, task }
    }

    async fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        (&mut self.task).await.expect("it publishes to the end");
    }

    fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

impl TestMachine {
    async fn start(name: &str, server: &NatsServer) -> TestMachine {
        let proxy = Proxy::before(server.addr()).await;
        let through = Plan { join: Some((proxy.url(), name.to_owned())), ..plan(server, name) };
        let mut program = Program::serving(through).await;
        let publishing = Publishing::start(&mut program).await;
        lead(&mut program).await;
        TestMachine { program, proxy, epoch: 0, publishing }
    }

    /// How the others call its publisher.
    fn remote(&self, name: &str) -> NodeId {
        let (machine, number) = (name.to_owned(), self.publishing.by.number());
        RemoteProcess { machine, epoch: self.epoch, number, slot: Some(Slot(0)) }.id()
    }

    async fn kill_gateway(&mut self, signal: Signal) -> u32 {
        let pid = gateway(&mut self.program).await;
        send(pid, signal);
        pid
    }

    /// Its nodes are replaced, or all of its program. What they have seen ends with them.
    async fn replace(&mut self, upgrades: bool) {
        self.publishing.stop().await;
        match upgrades {
            true => self.program.upgrade().await.expect("the new program takes over"),
            false => assert!(self.program.command("reload").await["Ok"].is_object()),
        }
        self.publishing = Publishing::start(&mut self.program).await;
        lead(&mut self.program).await;
    }
}

pub(super) async fn publish(mut client: Client, last: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        let answer = client.get(&format!("/bus/count/{AT_ONCE}")).await.expect("an answer");
        last.store(answer.body.trim().parse().expect("a number"), Ordering::Relaxed);
        sleep(EVERY).await;
    }
}

/// Breaks something at random, and mends it.
async fn break_something(rng: &mut Rng, machines: &mut [TestMachine], server: &mut NatsServer) -> &'static str {
    let pause = Duration::from_millis(rng.u64(0..3_000));
    let machine = &mut machines[rng.usize(0..NAMES.len())];
    let what = match rng.u8(0..8) {
        0 => {
            server.kill();
            sleep(pause).await;
            server.start().await;
            "the server of NATS was killed"
        }
        1 => {
            machine.kill_gateway(Signal::KILL).await;
            "a gateway was killed"
        }
        2 => {
            let pid = machine.kill_gateway(Signal::STOP).await;
            sleep(pause).await;
            send(pid, Signal::CONT);
            "a gateway stood still"
        }
        3 => {
            machine.proxy.set(Network::Cut);
            sleep(pause).await;
            "a network was cut"
        }
        4 => {
            machine.proxy.set(Network::Swallows);
            sleep(2 * pause).await;
            "a network swallowed"
        }
        5 => {
            if rng.bool() {
                machine.proxy.set(Network::Cut);
            }
            machine.replace(false).await;
            "a machine was reloaded"
        }
        6 => {
            if rng.bool() {
                machine.kill_gateway(Signal::KILL).await;
            }
            machine.replace(true).await;
            "a machine was upgraded"
        }
        _ => {
            machine.proxy.set(Network::Passes(Duration::from_millis(rng.u64(1..50))));
            sleep(pause).await;
            "a network was slow"
        }
    };
    machine.proxy.set(Network::Passes(Duration::ZERO));
    what
}

/// The tokens of the terms that go on.
async fn leading(machines: &mut [TestMachine]) -> Vec<u64> {
    let mut leading = Vec::new();
    for machine in machines {
        let going_on = terms(&mut machine.program).await.into_iter().filter(|(_, over)| !over);
        leading.extend(going_on.map(|(token, _)| token));
    }
    assert!(leading.len() <= 1, "two at once: {leading:?}");
    leading
}

/// Waits until each machine sees the session as it was saved by one of them.
async fn sessions_converge(machines: &mut [TestMachine], saved: &[String]) {
    loop {
        let mut seen = Vec::new();
        for machine in &mut *machines {
            seen.push(get(&mut machine.program, "/joined/load/s/0/-").await);
        }
        let is_saved = seen[0].as_str().is_some_and(|text| saved.iter().any(|saved| saved == text));
        if is_saved && seen.iter().all(|one| *one == seen[0]) {
            return println!("each machine sees {}, of {} that were saved", seen[0], saved.len());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// What each node of the machine has seen, once it is as wanted.
pub(super) async fn audits(program: &mut Program, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut audits = Vec::new();
    for slot in program.at_rest().await.slots {
        let mut node = program.connected_to(&slot.id.expect("it serves").to_string()).await;
        audits.push(loop {
            let audit = node.get("/bus/audit").await.expect("an answer").json();
            if wanted(&audit) {
                break audit;
            }
            sleep(Duration::from_millis(20)).await;
        });
    }
    audits
}

pub(super) fn has(audit: &Value, publisher: NodeId, last: u64) -> bool {
    audit["next"][publisher.to_string()].as_u64().is_some_and(|next| next > last)
}

/// How this machine calls the publishers of all.
fn seen_at(at: usize, ids: &[(NodeId, NodeId)]) -> impl Iterator<Item = NodeId> {
    ids.iter().enumerate().map(move |(of, (here, remote))| if of == at { *here } else { *remote })
}

/// The epochs of all machines, once they know of each other.
async fn epochs(machines: &mut [TestMachine]) -> BTreeMap<String, u64> {
    let mut epochs = BTreeMap::new();
    for machine in machines {
        let mut node = machine.program.connected_to(&machine.publishing.by.to_string()).await;
        loop {
            let known = node.get("/machines").await.expect("an answer").json();
            let reachable = known["machines"].as_array().expect("a list").iter().filter(|one| one["reachable"] == true);
            let named = reachable.map(|one| {
                (one["name"].as_str().expect("a name").to_owned(), one["epoch"].as_u64().expect("a number"))
            });
            let named: Vec<_> = named.collect();
            if named.len() == NAMES.len() - 1 {
                epochs.extend(named);
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    epochs
}

#[tokio::test]
async fn local_messages_lose_nothing_and_every_gap_shows_whatever_breaks_between_machines() {
    let Some(server) = NatsServer::new() else { return };
    let mut server = server.with_store();
    server.start().await;
    let seconds: u64 = from_env("CHAOS_SECONDS").unwrap_or(10);
    let seed: u64 = from_env("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    within(seconds + 120, async {
        let mut rng = Rng::with_seed(seed);
        let mut machines = Vec::new();
        for name in NAMES {
            machines.push(TestMachine::start(name, &server).await);
        }
        epochs(&mut machines).await;
        while get(&mut machines[0].program, &format!("/joined/create/s/{DAY_MS}/0")).await != true {}
        let (mut saved, mut tokens) = (vec!["0".to_owned()], BTreeSet::new());
        let (begun, mut broken) = (Instant::now(), BTreeMap::<_, u32>::new());
        while begun.elapsed() < Duration::from_secs(seconds) {
            *broken.entry(break_something(&mut rng, &mut machines, &mut server).await).or_default() += 1;
            tokens.extend(leading(&mut machines).await);
            let text = saved.len().to_string();
            // It may be saved though there is an error.
            let by = &mut machines[rng.usize(0..NAMES.len())].program;
            get(by, &format!("/joined/save/s/{DAY_MS}/{text}")).await;
            saved.push(text);
            sleep(Duration::from_millis(rng.u64(0..1_000))).await;
        }
        // They find each other again, and each node gets to know each publisher.
        let known = epochs(&mut machines).await;
        sessions_converge(&mut machines, &saved).await;
        while leading(&mut machines).await.is_empty() {}
        println!("tokens of the terms that were seen: {tokens:?}");
        machines.iter_mut().zip(NAMES).for_each(|(machine, name)| machine.epoch = known[name]);
        let ids = |machine: &TestMachine, name| (machine.publishing.by, machine.remote(name));
        let ids: Vec<(NodeId, NodeId)> = machines.iter().zip(NAMES).map(|(machine, name)| ids(machine, name)).collect();
        for (at, machine) in machines.iter_mut().enumerate() {
            audits(&mut machine.program, |audit| seen_at(at, &ids).all(|id| has(audit, id, 0))).await;
        }
        for machine in &mut machines {
            machine.publishing.stop().await;
        }
        let last: Vec<u64> = machines.iter().map(|machine| machine.publishing.last()).collect();
        println!("broken: {broken:?}; published: {last:?}");
        for (at, machine) in machines.iter_mut().enumerate() {
            let all = |audit: &Value| seen_at(at, &ids).zip(&last).all(|(id, last)| has(audit, id, *last));
            for audit in audits(&mut machine.program, all).await {
                println!("{}: {} messages, {} missed", NAMES[at], audit["messages"], audit["lagged"]);
                assert_eq!(
                    (audit["wrong"].as_array().map(Vec::len), audit["lagged_here"].as_u64()),
                    (Some(0), Some(0)),
                    "{audit}"
                );
            }
            assert!(machine.program.status().await.slots.iter().all(|slot| slot.restarts == 0));
        }
        for machine in machines {
            machine.program.stop().await;
        }
    })
    .await;
}
