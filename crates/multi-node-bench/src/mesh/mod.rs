//! What a stream between two processes carries: bare bytes, round trips, and typed messages.

pub(crate) mod fleet;
pub(crate) mod peer;

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Result;
use multi_node::mesh::FramedWrite;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    runtime::{Builder, Runtime},
};

use crate::{
    process::{self, Process},
    table::{self, Row},
};

/// Bytes of one write where throughput is measured.
const WRITE: usize = 64 * 1024;
/// Bytes of one message where round trips are measured.
const PING: usize = 64;

/// Arguments of `mesh`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every measurement runs once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds that one measurement takes.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// What the other process does with its end of the stream.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Task {
    /// Read bytes and count them.
    Drain,
    /// Send each ping back.
    Echo,
    /// Read typed messages and count them.
    Typed,
}

/// What the other process counted, and in what time.
#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    count: u64,
    seconds: f64,
}

/// The message of the typed measurement: 64 bytes as MessagePack with named fields, without the frame's header.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tick {
    id: u64,
    at: u64,
    from: u32,
    price: f64,
    name: String,
}

impl Tick {
    /// The ids from 65,536 on, which nearly all messages have, make it 64 bytes.
    fn new(id: u64) -> Tick {
        Tick { id, at: 1_700_000_000_000_000_000, from: 70_000, price: 101.25, name: "multi-node-1".to_owned() }
    }
}

/// What joins the two processes.
#[derive(Debug, Clone, Copy)]
enum Carrier {
    /// A socket pair, made by hand.
    Pair,
    /// The library's stream between a master and its node.
    Peer,
}

/// What is measured: the carrier, the task, and the text of the line.
const CASES: [(Carrier, Task, &str, &str); 6] = [
    (Carrier::Pair, Task::Drain, "UnixStream, 64 KiB writes", "GB/s"),
    (Carrier::Peer, Task::Drain, "Peer, 64 KiB writes", "GB/s"),
    (Carrier::Pair, Task::Echo, "UnixStream, round trip of 64 bytes", "µs"),
    (Carrier::Peer, Task::Echo, "Peer, round trip of 64 bytes", "µs"),
    (Carrier::Pair, Task::Typed, "Framed on UnixStream, 64-byte messages", "million/s"),
    (Carrier::Peer, Task::Typed, "Framed on Peer, 64-byte messages", "million/s"),
];

/// Runs all measurements, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, seconds) = if options.smoke { (1, 0.2) } else { (options.rounds, options.seconds) };
    let mut values = CASES.map(|_| Vec::new());
    for _ in 0..rounds {
        for (values, (carrier, task, ..)) in values.iter_mut().zip(CASES) {
            values.push(task.rate(&measure(carrier, task, seconds)?));
        }
    }
    let rows = CASES.into_iter().zip(values);
    let row = |((.., what, unit), values): ((_, _, &str, _), Vec<f64>)| Row::of(what.to_owned(), unit, values);
    table::print_rows("between two processes", &rows.filter_map(row).collect::<Vec<_>>(), options.json)
}

/// Lets one process send for so long, and gives what the other has counted.
fn measure(carrier: Carrier, task: Task, seconds: f64) -> Result<Finding> {
    match carrier {
        Carrier::Pair => {
            let (ours, theirs) = StdStream::pair()?;
            let mut peer = Process::start(
                &["mesh-peer".to_owned(), process::argument(&task)],
                Stdio::from(OwnedFd::from(theirs)),
            )?;
            ours.set_nonblocking(true)?;
            runtime()?.block_on(async { task.send(UnixStream::from_std(ours)?, seconds).await })?;
            // The stream is closed by now, and then the other process sends what it has counted.
            peer.answer()
        }
        Carrier::Peer => {
            let args = ["mesh-fleet".to_owned(), process::argument(&task), seconds.to_string()];
            Process::start(&args, Stdio::null())?.answer()
        }
    }
}

impl Task {
    /// The sending side's part.
    async fn send(self, stream: impl AsyncRead + AsyncWrite + Unpin, seconds: f64) -> Result<()> {
        let duration = Duration::from_secs_f64(seconds);
        match self {
            Task::Drain => send_blocks(stream, duration).await,
            Task::Echo => send_pings(stream, duration).await,
            Task::Typed => send_messages(stream, duration).await,
        }
    }

    /// The figure in the table's unit.
    fn rate(self, finding: &Finding) -> f64 {
        let count = finding.count as f64;
        match self {
            Task::Drain => count / finding.seconds / 1e9,
            Task::Echo => finding.seconds * 1e6 / count,
            Task::Typed => count / finding.seconds / 1e6,
        }
    }
}

async fn send_blocks(mut stream: impl AsyncWrite + Unpin, duration: Duration) -> Result<()> {
    let block = vec![7; WRITE];
    let start = Instant::now();
    while start.elapsed() < duration {
        stream.write_all(&block).await?;
    }
    Ok(())
}

async fn send_pings(mut stream: impl AsyncRead + AsyncWrite + Unpin, duration: Duration) -> Result<()> {
    let mut ping = [7; PING];
    let start = Instant::now();
    while start.elapsed() < duration {
        stream.write_all(&ping).await?;
        stream.read_exact(&mut ping).await?;
    }
    Ok(())
}

async fn send_messages(stream: impl AsyncWrite + Unpin, duration: Duration) -> Result<()> {
    /// Messages between two looks at the clock.
    const STRIDE: u64 = 1000;
    let mut messages: FramedWrite<_, Tick> = FramedWrite::new(stream);
    let start = Instant::now();
    let mut tick = Tick::new(0);
    while !tick.id.is_multiple_of(STRIDE) || start.elapsed() < duration {
        messages.feed(&tick).await?;
        tick.id += 1;
    }
    Ok(messages.close().await?)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_typed_message_has_64_bytes() {
        const HEADER: usize = 6;
        let mut wire = Vec::new();
        FramedWrite::<_, Tick>::new(&mut wire).send(Tick::new(65_536)).await.expect("a Vec takes everything");
        assert_eq!(wire.len(), HEADER + 64);
    }
}
