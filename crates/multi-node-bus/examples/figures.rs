//! How fast the bus is between processes: broadcasts to all, one message at rest, and a request beside a bare round trip.
//!
//! `cargo run --release -p multi-node-bus --example figures [PEERS [MESSAGES]]`. The environment variable `THREADS` chooses runtimes
//! with that number of worker threads instead of one thread.

#![allow(missing_docs, clippy::unwrap_used, reason = "a measurement ends at its first error")]

use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use multi_node_bus::{Bus, BusLimits, Event, Payload, RawTopic, Request};
use multi_node_fleet::id::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: usize = 5;
const AT_REST: usize = 1000;
const ROUND_TRIPS: usize = 4000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let threads: usize = std::env::var("THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads).enable_all().build().unwrap();
    if arguments.get(1).is_some_and(|word| word == "peer") {
        runtime
            .block_on(async { tokio::spawn(peer(arguments[2].clone(), arguments[3].parse().unwrap())).await.unwrap() });
    } else {
        let number = |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().unwrap());
        let (peers, messages) = (number(1, 7), number(2, 2_000_000));
        runtime.block_on(async { tokio::spawn(measure(peers, messages)).await.unwrap() });
    }
}

fn nanoseconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

/// A subscriber, and an echo.
async fn peer(path: String, number: u64) {
    let bus = Bus::new(NodeId::node(number), BusLimits::default());
    bus.joined(NodeId::MASTER, None, true);
    bus.members_complete();
    bus.attach(NodeId::MASTER, 1, UnixStream::connect(&path).unwrap()).unwrap();
    let bare = UnixStream::connect(&path).unwrap();
    bare.set_nonblocking(true).unwrap();
    let bare_latencies = Arc::new(Mutex::new(Vec::new()));
    let echo = echo(tokio::net::UnixStream::from_std(bare).unwrap(), bare_latencies.clone());
    tokio::spawn(async {
        echo.await;
        // The process that measures has ended.
        std::process::exit(0);
    });
    bus.respond("echo", |request: Request| async { Ok::<_, String>(request.payload) }).unwrap();
    let mut subscription = bus.topic("figures").unwrap().subscribe().await;
    let results = bus.topic("results").unwrap();
    let (mut count, mut lagged, mut latencies, mut last) = (0u64, 0, Vec::new(), 0);
    loop {
        match subscription.recv().await {
            Event::Lagged { missed, .. } => lagged += missed,
            Event::Message { payload, .. } => match &payload.bytes[..1] {
                b"x" => {
                    count += 1;
                    if count % 1024 == 0 {
                        last = nanoseconds();
                    }
                }
                b"t" => {
                    latencies.push(nanoseconds() - u64::from_le_bytes(payload.bytes[1..9].try_into().unwrap()));
                }
                b"e" => {
                    let bare = std::mem::take(&mut *bare_latencies.lock().unwrap());
                    let result = (count, lagged, std::mem::take(&mut latencies), bare, last);
                    let _ = results.publish(Payload::message_pack(&result).unwrap()).unwrap();
                    (count, lagged) = (0, 0);
                }
                b"-" => {}
                _ => {
                    bus.flush(Duration::from_secs(1)).await;
                    return;
                }
            },
        }
    }
}

async fn echo(mut stream: tokio::net::UnixStream, latencies: Arc<Mutex<Vec<u64>>>) {
    let mut buffer = [0; 82];
    while stream.read_exact(&mut buffer).await.is_ok() {
        if buffer[0] == b't' {
            latencies.lock().unwrap().push(nanoseconds() - u64::from_le_bytes(buffer[1..9].try_into().unwrap()));
        } else if stream.write_all(&buffer).await.is_err() {
            return;
        }
    }
}

async fn measure(peers: u64, messages: u64) {
    let path = std::env::temp_dir().join(format!("bus-figures-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let bus = Bus::new(NodeId::MASTER, BusLimits::default());
    bus.members_complete();
    let (topic, results) = (bus.topic("figures").unwrap(), bus.topic("results").unwrap());
    let mut children: Vec<Child> = Vec::new();
    let mut bare = Vec::new();
    for number in 1..=peers {
        let mut command = Command::new(std::env::current_exe().unwrap());
        children.push(command.arg("peer").arg(&path).arg(number.to_string()).spawn().unwrap());
        bus.joined(NodeId::node(number), None, true);
        bus.attach(NodeId::node(number), 1, listener.accept().unwrap().0).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        bare.push(tokio::net::UnixStream::from_std(stream).unwrap());
    }
    std::fs::remove_file(&path).unwrap();
    let mut results = results.subscribe().await;
    while topic.publish(Payload::bytes(vec![b'-'])).is_ok_and(|published| published.sent < children.len()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..ROUNDS {
        broadcast(&topic, &mut results, peers, messages).await;
    }
    at_rest(&topic, &mut results, peers, &mut bare).await;
    for _ in 0..ROUNDS {
        round_trips(&bus, &mut bare[0]).await;
    }
    let _ = topic.publish(Payload::text("quit")).unwrap();
    bus.flush(Duration::from_secs(1)).await;
    children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    println!("{:?}", bus.counts());
}

/// Messages, missed ones, latencies of messages and of bare writes, when the last message came.
type PeerResult = (u64, u64, Vec<u64>, Vec<u64>, u64);

async fn all_results(results: &mut multi_node_bus::Subscription, peers: u64) -> Vec<PeerResult> {
    let mut all = Vec::new();
    while (all.len() as u64) < peers {
        if let Event::Message { payload, .. } = results.recv().await {
            all.push(payload.decode().unwrap());
        }
    }
    all
}

async fn broadcast(topic: &RawTopic, results: &mut multi_node_bus::Subscription, peers: u64, messages: u64) {
    let payload = Payload::bytes(vec![b'x'; 64]);
    let (start, start_time) = (Instant::now(), nanoseconds());
    let mut lagging = 0;
    for number in 0..messages {
        lagging += topic.publish(payload.clone()).unwrap().missed;
        if number % 256 == 0 {
            topic.room().await;
        }
        if number % 1024 == 0 {
            tokio::task::yield_now().await;
        }
    }
    topic.room().await;
    let published = start.elapsed();
    // A subscription that is full would miss the end.
    topic.room().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _ = topic.publish(Payload::text("end")).unwrap();
    let all = all_results(results, peers).await;
    let last = all.iter().map(|result| result.4).max().unwrap();
    let elapsed = (last - start_time) as f64 / 1e9;
    let lagged: u64 = all.iter().map(|result| result.1).sum();
    let received: u64 = all.iter().map(|result| result.0).sum();
    println!(
        "broadcast 64 B to {peers}: {:.0} thousand messages/s (published in {published:?}), received {received}, lagged {lagged}, of them not sent {lagging}",
        messages as f64 / elapsed / 1e3
    );
}

fn stamped(length: usize) -> Vec<u8> {
    let mut bytes = vec![b't'];
    bytes.extend(nanoseconds().to_le_bytes());
    bytes.resize(length, 0);
    bytes
}

async fn at_rest(
    topic: &RawTopic,
    results: &mut multi_node_bus::Subscription,
    peers: u64,
    bare: &mut [tokio::net::UnixStream],
) {
    for _ in 0..AT_REST {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let _ = topic.publish(Payload::bytes(stamped(64))).unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let bytes = stamped(82);
        for stream in &mut *bare {
            stream.write_all(&bytes).await.unwrap();
        }
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _ = topic.publish(Payload::text("end")).unwrap();
    let all = all_results(results, peers).await;
    let worst = |of: fn(&PeerResult) -> &Vec<u64>| {
        percentiles((0..AT_REST).map(|at| all.iter().map(|result| of(result)[at]).max().unwrap()).collect())
    };
    let (ours, theirs) = (worst(|result| &result.2), worst(|result| &result.3));
    println!("one message at rest to all {peers}: {ours}; bare writes: {theirs}");
}

fn percentiles(mut nanoseconds: Vec<u64>) -> String {
    nanoseconds.sort_unstable();
    let at = |share: f64| nanoseconds[((nanoseconds.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    format!("p50 {:.1} µs, p90 {:.1} µs, p99 {:.1} µs", at(0.5), at(0.9), at(0.99))
}

async fn round_trips(bus: &Bus, bare: &mut tokio::net::UnixStream) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let payload = Payload::bytes(vec![1; 64]);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        bus.request("echo", payload.clone()).to(NodeId::node(1)).await.unwrap();
        ours.push(u64::try_from(start.elapsed().as_nanos()).unwrap());
        let start = Instant::now();
        bare.write_all(&[1; 82]).await.unwrap();
        let mut buffer = [0; 82];
        bare.read_exact(&mut buffer).await.unwrap();
        theirs.push(u64::try_from(start.elapsed().as_nanos()).unwrap());
    }
    println!("request: {}; bare round trip: {}", percentiles(ours), percentiles(theirs));
}
