//! A flood on a topic beside a reload: connections that are lost, and how long requests on kept connections take.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use axum::{Router, extract::Path, routing::get};
use multi_node::{Handle, bus::Payload, http_with, listen};
use rustix::process::Signal;
use tokio::runtime::Builder;

use crate::{
    process::{self, Process},
    rounds::in_turn,
    table,
    table::Spread,
    variants::{
        Announcement, announce_pids,
        multi_node::{options, until_end},
    },
};

/// How long an answer may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Threads of clients, each of which asks its connections one after the other.
const CLIENTS: usize = 4;

/// Bytes of a message.
const MESSAGE: usize = 64 << 10;

/// Requests that have a node flood the topic: one for each node.
const FLOODS: usize = 4;

/// Megabytes a second that no machine reaches.
const MOST_OFFERED: f64 = 1e9;

/// Arguments of `flood`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every measurement runs once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Kept connections.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Megabytes a second that all nodes together offer on the topic. Default: as many as they can.
    #[arg(long)]
    offer: Option<f64>,
    /// One short round.
    #[arg(long)]
    smoke: bool,
}

/// Serves with four nodes until the process is killed.
pub(crate) fn serve() -> Result<()> {
    process::die_with_parent()?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let nodes = listen(options(4, 0), http_with(app)).await?;
        if nodes.is_master() {
            nodes.ready().await?;
            announce_pids(nodes.local_addr().tcp().context("a TCP address")?.port(), std::iter::empty())?;
        }
        until_end(&nodes).await
    })
}

/// `/` says which process answers. `/flood/MS/RATE` publishes for so long, RATE megabytes a second, and says how many bytes that were.
async fn app(node: Handle) -> Result<Router, multi_node::BoxError> {
    let topic = node.raw_topic("flood")?;
    let mut subscription = topic.subscribe().await;
    tokio::spawn(async move {
        loop {
            subscription.recv().await;
        }
    });
    let flood = move |Path((ms, rate)): Path<(u64, f64)>| async move {
        let (begin, payload, mut bytes) = (Instant::now(), Payload::bytes(vec![7; MESSAGE]), 0);
        while begin.elapsed() < Duration::from_millis(ms) {
            topic.publish(payload.clone()).expect("a small message");
            bytes += MESSAGE;
            match Duration::from_secs_f64(bytes as f64 / 1e6 / rate).checked_sub(begin.elapsed()) {
                Some(early) => tokio::time::sleep(early).await,
                None => tokio::task::yield_now().await,
            }
        }
        bytes.to_string()
    };
    let who = async || std::process::id().to_string();
    Ok(Router::new().route("/", get(who)).route("/flood/{ms}/{rate}", get(flood)))
}

/// What is done beside the requests.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    floods: bool,
    reloads: bool,
}

const CASES: [Case; 4] = [
    Case { name: "requests alone", floods: false, reloads: false },
    Case { name: "a reload", floods: false, reloads: true },
    Case { name: "a flood", floods: true, reloads: false },
    Case { name: "a flood and a reload", floods: true, reloads: true },
];

/// With what each case is measured.
struct Load {
    connections: usize,
    time: Duration,
    /// Megabytes a second that each flood offers.
    rate: f64,
}

/// What one round of a case gave.
struct Measured {
    megabytes: f64,
    millis: Vec<f64>,
    lost: usize,
    moved: usize,
}

/// Runs all cases, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, seconds, connections) =
        if options.smoke { (1, 2, 40) } else { (options.rounds, options.seconds, options.connections) };
    let load = Load {
        connections,
        time: Duration::from_secs(seconds),
        rate: options.offer.unwrap_or(MOST_OFFERED) / FLOODS as f64,
    };
    let mut measured: Vec<Vec<Measured>> = CASES.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for &case in in_turn(&[0, 1, 2, 3], round) {
            measured[case].push(measure(CASES[case], &load)?);
        }
    }
    let rows: Vec<Vec<String>> = CASES.iter().zip(&measured).map(|(case, rounds)| row(case.name, rounds)).collect();
    table::print(&["beside", "offered, MB/s", "p50, ms", "p99, ms", "longest, ms", "lost", "moved"], &rows);
    Ok(())
}

fn row(name: &str, rounds: &[Measured]) -> Vec<String> {
    let spread = |of: &dyn Fn(&Measured) -> f64, decimals| {
        Spread::of(rounds.iter().map(of)).map_or_else(String::new, |spread| spread.show(decimals))
    };
    let sum = |of: &dyn Fn(&Measured) -> usize| rounds.iter().map(of).sum::<usize>().to_string();
    vec![
        name.to_owned(),
        spread(&|round| round.megabytes, 0),
        spread(&|round| quantile(&round.millis, 0.5), 2),
        spread(&|round| quantile(&round.millis, 0.99), 2),
        spread(&|round| quantile(&round.millis, 1.0), 1),
        sum(&|round| round.lost),
        sum(&|round| round.moved),
    ]
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    sorted.get((last as f64 * part) as usize).copied().unwrap_or_default()
}

/// Asks all connections again and again for so long, with a program of its own.
fn measure(case: Case, load: &Load) -> Result<Measured> {
    let Load { connections, time, rate } = *load;
    let mut server = Process::start(&["flood-serve".to_owned()], Stdio::null())?;
    let address = server.answer::<Announcement>()?.address();
    let mut kept = (0..connections).map(|_| Client::connect(address)).collect::<Result<Vec<_>>>()?;
    let before = kept.iter_mut().map(|client| client.ask("/")).collect::<Result<BTreeSet<_>>>()?;
    let floods = if case.floods { FLOODS } else { 0 };
    let floods: Vec<_> = (0..floods).map(|_| thread::spawn(move || flood(address, time, rate))).collect();
    let end = Instant::now() + time;
    let before = Arc::new(before);
    let ask = |clients| {
        let before = before.clone();
        thread::spawn(move || ask_until(clients, end, &before))
    };
    let asking: Vec<_> = split(kept, CLIENTS).into_iter().map(ask).collect();
    if case.reloads {
        thread::sleep(time / 6);
        server.signal(Signal::HUP)?;
    }
    let mut all = Measured { megabytes: 0.0, millis: Vec::new(), lost: 0, moved: 0 };
    for clients in asking {
        let (millis, lost, moved) = clients.join().expect("no panic");
        all.millis.extend(millis);
        all.lost += lost;
        all.moved += moved;
    }
    for flood in floods {
        all.megabytes += flood.join().expect("no panic")?;
    }
    all.millis.sort_by(f64::total_cmp);
    ensure!(!case.reloads || all.moved > 0, "no connection has another node: raise --seconds");
    server.end();
    Ok(all)
}

fn split(mut all: Vec<Client>, parts: usize) -> Vec<Vec<Client>> {
    let size = all.len().div_ceil(parts);
    (0..parts).map(|_| all.split_off(all.len().saturating_sub(size))).collect()
}

/// Megabytes a second that one request has a node offer, at most `rate`.
fn flood(address: SocketAddr, time: Duration, rate: f64) -> Result<f64> {
    let bytes: f64 = Client::connect(address)?.ask(&format!("/flood/{}/{rate}", time.as_millis()))?.parse()?;
    Ok(bytes / 1e6 / time.as_secs_f64())
}

/// Asks one connection after the other: the milliseconds of each answer, how many connections ended, and how many ended up at a new node.
fn ask_until(mut clients: Vec<Client>, end: Instant, before: &BTreeSet<String>) -> (Vec<f64>, usize, usize) {
    let (mut millis, mut lost) = (Vec::new(), 0);
    while Instant::now() < end && !clients.is_empty() {
        clients.retain_mut(|client| {
            let begin = Instant::now();
            let answer = client.ask("/");
            millis.push(begin.elapsed().as_secs_f64() * 1e3);
            lost += usize::from(answer.is_err());
            answer.is_ok()
        });
    }
    let moved = clients.iter().filter(|client| !before.contains(&client.last)).count();
    (millis, lost, moved)
}

/// One kept connection, and what was answered last.
struct Client {
    stream: TcpStream,
    last: String,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONGEST))?;
        Ok(Client { stream, last: String::new() })
    }

    fn ask(&mut self, path: &str) -> Result<String> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes())?;
        let (mut answer, mut room) = (Vec::new(), [0; 1024]);
        loop {
            let count = self.stream.read(&mut room)?;
            ensure!(count > 0, "the connection has ended");
            answer.extend_from_slice(&room[..count]);
            if let Some(body) = body(std::str::from_utf8(&answer)?) {
                body.clone_into(&mut self.last);
                return Ok(self.last.clone());
            }
        }
    }
}

/// The body of an answer, once all of it has come.
fn body(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    (length.parse() == Ok(body.len())).then_some(body)
}
