//! Streams to another machine over a network that delays, reorders, repeats and loses: whole, or reset at both ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use multi_node_bus::{Bus, ByteStream, Elsewhere, Failure, Payload, Relay, RemoteProcess, StreamReset};
use multi_node_fleet::id::{NodeId, Slot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::world::{GATEWAY, World, limits, until, within};

/// What one end sends and the other sends back.
const BYTES: usize = 1 << 20;

/// What lies between two machines. Decisions come from a seed.
struct Network {
    state: AtomicU64,
    /// One frame of this number is lost, or its answer; 0: none.
    losses: u64,
}

impl Network {
    fn dice(&self, sides: u64) -> u64 {
        let step =
            |state: u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        let state = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or_default();
        (state >> 33) % sides
    }

    fn loses(&self) -> bool {
        self.losses > 0 && self.dice(self.losses) == 0
    }
}

fn process(machine: &str) -> RemoteProcess {
    RemoteProcess { machine: machine.to_owned(), epoch: 9, number: 1, slot: Some(Slot(1)) }
}

/// Asks the processes behind `relay` for one of `machine`.
async fn cross(
    network: Arc<Network>,
    relay: Arc<Relay>,
    machine: &'static str,
    asked: Elsewhere,
) -> Result<Payload, Failure> {
    sleep(Duration::from_micros(network.dice(3000))).await;
    if network.loses() {
        return Err(Failure::Gone);
    }
    let ask = || {
        let longest = asked.deadline.saturating_duration_since(Instant::now());
        relay.request(process(machine), &asked.name, Some(NodeId::node(1)), asked.payload.clone(), longest)
    };
    let answer = ask().await;
    if network.dice(20) == 0 {
        // The answer to what was repeated goes nowhere.
        let _ = ask().await;
    }
    sleep(Duration::from_micros(network.dice(3000))).await;
    match network.loses() {
        true => Err(Failure::Gone),
        false => answer.map_err(|error| Option::<Failure>::from(error).unwrap_or(Failure::Gone)),
    }
}

/// One process on each of two machines, and the networks' worlds.
fn machines(seed: u64, losses: u64) -> [(World, Bus); 2] {
    let network = Arc::new(Network { state: AtomicU64::new(seed), losses });
    let machines = ["alpha", "beta"].map(|_| {
        let (world, buses) = World::of(1);
        (world.add(GATEWAY, limits()), world, buses)
    });
    let relays = [0, 1].map(|at: usize| Arc::new(machines[at].0.relay()));
    for (at, name) in ["alpha", "beta"].into_iter().enumerate() {
        let (network, relay) = (network.clone(), relays[1 - at].clone());
        machines[at].0.relay().ask_elsewhere(move |asked| cross(network.clone(), relay.clone(), name, asked));
        machines[1 - at].2[0].remember(process(name));
    }
    machines.map(|(_, world, mut buses)| (world, buses.remove(0)))
}

fn bytes() -> Vec<u8> {
    (0..BYTES as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

async fn send_back(stream: ByteStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let copied = tokio::io::copy(&mut reader, &mut writer).await;
    if copied.is_ok() {
        writer.shutdown().await.unwrap();
    }
}

/// Opens a stream from the first machine and has all bytes sent back. Gives how many came, and why not all.
async fn echo(from: &Bus) -> (usize, Option<StreamReset>) {
    let stream = loop {
        match from.open_stream(process("beta").id()).await {
            // The gateway does not know the handler yet.
            Err(StreamReset::NobodyAccepts) => sleep(Duration::from_millis(1)).await,
            Err(reset) => return (0, Some(reset)),
            Ok(stream) => break stream,
        }
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        writer.write_all(&bytes()).await?;
        writer.shutdown().await
    });
    let mut came = Vec::new();
    let read = reader.read_to_end(&mut came).await;
    let written = writing.await.unwrap();
    assert!(bytes().starts_with(&came), "wrong bytes");
    let reset = read.err().or(written.err()).map(|error| StreamReset::of(&error).expect("a reset"));
    (came.len(), reset)
}

/// One echo over such a network.
async fn one(seed: u64, losses: u64) -> (usize, Option<StreamReset>) {
    let [(_alpha_world, alpha), (_beta_world, beta)] = machines(seed, losses);
    let mut incoming = beta.incoming_streams().unwrap();
    tokio::spawn(async move {
        while let Some(stream) = incoming.accept().await {
            tokio::spawn(send_back(stream));
        }
    });
    let echoed = within(&format!("seed {seed}"), echo(&alpha)).await;
    until("both ends are forgotten", || alpha.counts().streams + beta.counts().streams == 0).await;
    echoed
}

#[tokio::test]
async fn what_is_delayed_reordered_and_repeated_comes_whole() {
    for seed in 0..5 {
        assert_eq!(one(seed, 0).await, (BYTES, None), "seed {seed}");
    }
}

#[tokio::test]
async fn what_is_lost_shows_as_a_reset_and_never_as_missing_bytes() {
    let (mut whole, mut resets) = (0, 0);
    for seed in 0..30 {
        match one(seed, 200).await {
            (came, None) => {
                assert_eq!(came, BYTES, "seed {seed}");
                whole += 1;
            }
            (_, Some(reset)) => {
                assert_eq!(reset, StreamReset::Lost, "seed {seed}");
                resets += 1;
            }
        }
    }
    println!("{whole} whole, {resets} reset");
    assert!(resets > 0, "nothing was lost");
}
