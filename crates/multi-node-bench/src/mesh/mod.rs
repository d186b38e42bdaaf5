//! What a stream between two processes carries: bare bytes, round trips, and typed messages.

pub(crate) mod peer;

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Result;
use multi_node::FramedWrite;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::{Builder, Runtime},
};

use crate::{
    process::Process,
    table::{self, Spread},
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

/// One line of the table.
#[derive(Serialize)]
struct Row {
    what: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    spread: Spread,
}

/// Runs all measurements, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, seconds) = if options.smoke { (1, 0.2) } else { (options.rounds, options.seconds) };
    let duration = Duration::from_secs_f64(seconds);
    let mut values = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let round = [throughput(duration)?, round_trip(duration)?, typed(duration)?];
        values.iter_mut().zip(round).for_each(|(values, value)| values.push(value));
    }
    let names = [
        ("UnixStream, 64 KiB writes", "GB/s"),
        ("UnixStream, round trip of 64 bytes", "µs"),
        ("Framed on UnixStream, 64-byte messages", "million/s"),
    ];
    let rows = names
        .into_iter()
        .zip(values)
        .filter_map(|((what, unit), values)| Spread::of(values).map(|spread| Row { what, unit, spread }));
    print(&rows.collect::<Vec<_>>(), options.json)
}

fn print(rows: &[Row], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    let cells = |row: &Row| vec![row.what.to_owned(), row.spread.show(2), row.unit.to_owned()];
    table::print(&["between two processes", "median (min–max)", "unit"], &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}

fn throughput(duration: Duration) -> Result<f64> {
    let ((), finding) = with_peer(Task::Drain, async |mut stream| {
        let block = vec![7; WRITE];
        let start = Instant::now();
        while start.elapsed() < duration {
            stream.write_all(&block).await?;
        }
        Ok(())
    })?;
    Ok(finding.count as f64 / finding.seconds / 1e9)
}

fn round_trip(duration: Duration) -> Result<f64> {
    let (micros, _) = with_peer(Task::Echo, async |mut stream| {
        let mut ping = [7; PING];
        let start = Instant::now();
        let mut trips = 0;
        while start.elapsed() < duration {
            stream.write_all(&ping).await?;
            stream.read_exact(&mut ping).await?;
            trips += 1;
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(trips))
    })?;
    Ok(micros)
}

fn typed(duration: Duration) -> Result<f64> {
    /// Messages between two looks at the clock.
    const STRIDE: u64 = 1000;
    let ((), finding) = with_peer(Task::Typed, async |stream| {
        let mut messages: FramedWrite<_, Tick> = FramedWrite::new(stream);
        let start = Instant::now();
        let mut tick = Tick::new(0);
        while !tick.id.is_multiple_of(STRIDE) || start.elapsed() < duration {
            messages.feed(&tick).await?;
            tick.id += 1;
        }
        Ok(messages.close().await?)
    })?;
    Ok(finding.count as f64 / finding.seconds / 1e6)
}

/// Starts the other process, does this side's part, and gives what both found.
fn with_peer<T>(task: Task, part: impl AsyncFnOnce(UnixStream) -> Result<T>) -> Result<(T, Finding)> {
    let (ours, theirs) = StdStream::pair()?;
    let mut peer = Process::start(&["mesh-peer".to_owned(), task.name()], Stdio::from(OwnedFd::from(theirs)))?;
    ours.set_nonblocking(true)?;
    let result = runtime()?.block_on(async { part(UnixStream::from_std(ours)?).await })?;
    // The stream is closed by now, which is when the other process tells what it counted.
    Ok((result, peer.answer()?))
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

impl Task {
    fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
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
