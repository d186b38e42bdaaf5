//! The control socket of a `multi-node run`, with hostile clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use multi_node_it::{client, limits, procfs, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::command::{Running, built};
use crate::run_steered::Place;

/// How long nonsense is said to it.
const FOR: Duration = Duration::from_millis(1500);

/// What a master may grow by meanwhile, in KiB.
const GROWTH: u64 = 8 << 10;

/// How often one client asks whether the program serves.
const EVERY: Duration = Duration::from_millis(10);

/// The same numbers in each run (xorshift64*, of Vigna's "An experimental exploration of Marsaglia's xorshift generators").
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.throw()).expect("48 bits") % end
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.throw().to_le_bytes()[0]).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.throw().is_multiple_of(2)),
            2 => json!(self.throw()),
            3 => json!(-1.5e300),
            4 => json!(["status", "command", "slot", "nodes", "wait", "follow", "lines"][self.below(7)]),
            5 => json!(String::from_utf8_lossy(&self.bytes(20))),
            6 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                json!({ "command": self.value(depth - 1), "slot": self.value(depth - 1), "lines": self.value(depth - 1) })
            }
        }
    }

    /// Some requests, of which most are none. None of them could end a node.
    fn said(&mut self) -> Vec<u8> {
        const REQUESTS: [&str; 6] = [
            r#"{"command":"status"}"#,
            r#"{"command":"watch"}"#,
            r#"{"command":"logs","slot":null,"lines":100,"follow":false}"#,
            r#"{"command":"logs","slot":0,"lines":18446744073709551615,"follow":true}"#,
            r#"{"command":"restart","slot":9999}"#,
            r#"{"command":"scale","by":999999999999}"#,
        ];
        let mut bytes = match self.below(5) {
            0 => self.bytes(300),
            1 => self.value(4).to_string().into_bytes(),
            2 => "[".repeat(self.below(5000)).into_bytes(),
            3 => vec![b'x'; 60_000 + self.below(20_000)],
            _ => REQUESTS[self.below(REQUESTS.len())].as_bytes().to_vec(),
        };
        if self.below(3) == 0 && !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] = self.throw().to_le_bytes()[0];
        }
        // Without it, half a request.
        if self.below(4) > 0 {
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Says nonsense on one connection after the other, and reads some of what is answered.
async fn rave(path: PathBuf, seed: u64, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    let mut dice = Dice(seed);
    let mut answer = vec![0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = UnixStream::connect(&path).await else {
            // The kernel has no room for more of them.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        for _ in 0..=dice.below(4) {
            // An error means that the other side has had enough.
            let _ = stream.write_all(&dice.said()).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
        if dice.below(2) == 0 {
            let _ = tokio::time::timeout(Duration::from_millis(5), stream.read(&mut answer)).await;
        }
    }
}

/// A client of the program, which must not notice any of this.
async fn asks(addr: std::net::SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = client::get(addr, "/").await.expect("the program serves");
        assert_eq!(answer.status, 200);
        answered += 1;
        tokio::time::sleep(EVERY).await;
    }
    answered
}

/// What a process has in memory, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

async fn comes_down_to(pid: u32, fds: usize) {
    while procfs::fds(pid).expect("it runs") > fds {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Two nodes that serve.
async fn serving(place: &Place) -> (Running, std::net::SocketAddr) {
    let program = built("listenfd_axum");
    let args = ["run", "--name", "web", "-n", "2", "--bind", "127.0.0.1:0", "--", &program];
    let mut command = place.command(&args);
    command.stdout(std::process::Stdio::null());
    let mut running = Running::of(command);
    let addr = running.addr().await;
    running.ready(2).await;
    (running, addr)
}

#[tokio::test]
async fn nonsense_on_the_control_socket_harms_nobody_and_fills_nothing() {
    within(60, async {
        let place = Place::new();
        let (mut running, addr) = serving(&place).await;
        place.json(&["status"]).await;
        let (pid, logged) = (running.pid(), running.seen.len());
        let fds = procfs::fds(pid).expect("it runs");

        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = tokio::spawn(asks(addr, stop.clone()));
        let path = place.path().join("multi-node/web.sock");
        let raving: JoinSet<()> = (1..=8).map(|seed| rave(path.clone(), seed, stop.clone(), count.clone())).collect();
        let begun = Instant::now();
        tokio::time::sleep(FOR / 4).await;
        let warm = resident(pid);
        tokio::time::sleep(FOR.saturating_sub(begun.elapsed())).await;
        let grown = resident(pid).saturating_sub(warm);
        stop.store(true, Ordering::Relaxed);
        raving.join_all().await;
        let answered = client.await.expect("every request was answered");
        let count = count.load(Ordering::Relaxed);
        println!("{count} times nonsense; {answered} requests answered; the master grew by {grown} KiB");
        assert!(count > 100 && answered > 10, "{count}, {answered}");
        assert!(grown < GROWTH, "the master grew by {grown} KiB");

        comes_down_to(pid, fds).await;
        let status = place.json(&["status"]).await;
        assert_eq!((&status["ready"], &status["slots"][0]["id"]), (&json!(true), &json!("node-1")), "{status}");
        running.signal(rustix::process::Signal::TERM);
        assert_eq!(running.exit().await, Some(0));
        let lines = running.seen.len() - logged;
        assert!(lines < 30, "{lines} lines were logged");
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_connections_to_the_control_socket_harm_nobody() {
    within(60, async {
        limits::raise_open_files();
        let place = Place::new();
        let (mut running, addr) = serving(&place).await;
        let fds = procfs::fds(running.pid()).expect("it runs");
        let path = place.path().join("multi-node/web.sock");
        let mut held = Vec::new();
        for _ in 0..10_000 {
            // The kernel refuses connections that have no room in the queue.
            if let Ok(stream) = UnixStream::connect(&path).await {
                held.push(stream);
            }
        }
        assert!(held.len() > 64, "only {} came through", held.len());
        let full = "64 clients are connected already; try again when one has left";
        place.fails(&["status", "--name", "web"], 3, full).await;
        assert_eq!(client::get(addr, "/").await.expect("the program serves on").status, 200);
        drop(held);
        comes_down_to(running.pid(), fds).await;
        assert_eq!(place.json(&["status"]).await["ready"], json!(true));

        let usual = limits::limit_open_files(running.pid(), 3);
        let waiting = UnixStream::connect(&path).await.expect("the queue has room");
        running.logged(LACK).await;
        tokio::time::sleep(EVERY * 30).await;
        limits::limit_open_files(running.pid(), usual);
        assert_eq!(place.json(&["status"]).await["ready"], json!(true));
        drop(waiting);
        running.signal(rustix::process::Signal::TERM);
        assert_eq!(running.exit().await, Some(0));
        assert_eq!(running.seen.iter().filter(|line| line.contains(LACK)).count(), 1, "it is told once");
    })
    .await;
}

/// What is logged where there is no descriptor for a client.
const LACK: &str = "cannot accept on the control socket";
