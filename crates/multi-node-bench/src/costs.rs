//! What a request costs a server, counted and not timed, so that other work on the machine changes nothing: instructions outside the kernel
//! (callgrind) and system calls (strace). Each server is one process, since valgrind does not know all system calls that a master needs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::load::{self, Mode};
use crate::process::Process;
use crate::table;
use crate::variants::{Announcement, Start, Variant};

/// Requests of the shorter and of the longer of two runs; what lies between is the requests' alone.
const REQUESTS: [u64; 2] = [200, 1200];

/// Seconds after which a run has failed: callgrind slows a server down to a fiftieth.
const LONGEST: f64 = 120.0;

/// Arguments of `costs`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Servers beside hand-made `reuseport`; all, if none is named.
    #[arg(long, value_delimiter = ',')]
    variants: Vec<Variant>,
    /// Fail if the library takes more instructions a request than this multiple of hand-made hyper's, with kept connections or without.
    #[arg(long, value_name = "RATIO")]
    limit: Option<f64>,
    /// Print JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

/// What a request costs one server.
#[derive(Serialize)]
struct Row {
    mode: String,
    variant: String,
    instructions: f64,
    /// As a multiple of hand-made hyper's.
    ratio: f64,
    system_calls: f64,
}

/// A program under which a server runs, and which counts.
#[derive(Clone, Copy)]
enum Counter {
    Callgrind,
    Strace,
}

/// Measures all variants in both modes and prints what they cost.
pub(crate) fn run(options: &Options) -> Result<()> {
    let variants = if options.variants.is_empty() { Variant::value_variants() } else { &options.variants };
    let mut rows = Vec::new();
    for &mode in Mode::value_variants() {
        let by_hand = per_request(Counter::Callgrind, Variant::Reuseport, mode)?;
        for &variant in variants {
            let instructions = match variant {
                Variant::Reuseport => by_hand,
                _ => per_request(Counter::Callgrind, variant, mode)?,
            };
            let system_calls = per_request(Counter::Strace, variant, mode)?;
            eprintln!("{}, {}: counted", mode.name(), variant.name());
            let (mode, variant, ratio) = (mode.name(), variant.name(), instructions / by_hand);
            rows.push(Row { mode, variant, instructions, ratio, system_calls });
        }
    }
    print(&rows, options.json)?;
    options.limit.map_or(Ok(()), |limit| check(&rows, limit))
}

fn check(rows: &[Row], limit: f64) -> Result<()> {
    let ours = rows.iter().filter(|row| row.variant == Variant::MultiNode.name());
    for Row { mode, ratio, .. } in ours {
        ensure!(*ratio <= limit, "{mode}: {ratio:.3} × the instructions of hand-made hyper, more than {limit}");
    }
    Ok(())
}

fn print(rows: &[Row], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    for mode in Mode::value_variants() {
        println!("\n{}, in one process", mode.name());
        let of_mode = rows.iter().filter(|row| row.mode == mode.name());
        let head = ["server", "instructions/request", "× reuseport", "system calls/request"];
        table::print(&head, &of_mode.map(cells).collect::<Vec<_>>());
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let Row { variant, instructions, ratio, system_calls, .. } = row;
    vec![variant.clone(), format!("{instructions:.0}"), format!("{ratio:.3}"), format!("{system_calls:.2}")]
}

fn per_request(counter: Counter, variant: Variant, mode: Mode) -> Result<f64> {
    let [shorter, longer] = REQUESTS;
    let (least, most) = (counter.total(variant, mode, shorter)?, counter.total(variant, mode, longer)?);
    let more = most.checked_sub(least).context("more requests cost less")?;
    Ok(more as f64 / (longer - shorter) as f64)
}

impl Counter {
    /// All that a server costs which starts, answers this many requests of one client, and ends.
    fn total(self, variant: Variant, mode: Mode, requests: u64) -> Result<u64> {
        let folder = tempfile::tempdir()?;
        let counts = folder.path().join("counts");
        let mut server = self.start(variant, &counts)?;
        let address = server.answer::<Announcement>()?.address();
        let options = load::Options { address, mode, connections: 1, seconds: LONGEST, requests: Some(requests) };
        let report = load::start(&options)?;
        ensure!(report.requests == requests, "{} answered {} of {requests}", variant.name(), report.requests);
        server.end();
        let name = self.name();
        let text = std::fs::read_to_string(&counts).with_context(|| format!("{name} wrote no {}", counts.display()))?;
        self.count(&text).with_context(|| format!("the output of {name} has no sum"))
    }

    /// Starts a server under it.
    fn start(self, variant: Variant, counts: &Path) -> Result<Process> {
        // The library in one process has no nodes.
        let nodes = if variant.is_ours() { 0 } else { 1 };
        let mut command = Command::new(self.name());
        match self {
            Counter::Callgrind => {
                command.args(["--quiet", "--tool=callgrind", &format!("--callgrind-out-file={}", counts.display())])
            }
            // It heeds the signal that ends it.
            Counter::Strace => command.args(["-f", "-c", "-I", "2", "-o"]).arg(counts),
        };
        command.arg(std::env::current_exe()?).args(Start::on_free_port(nodes).args(variant));
        match Process::run(command.stdin(Stdio::null()).stdout(Stdio::piped())) {
            Err(error) if !self.is_installed() => {
                let name = self.name();
                bail!("{error:#}: {name} counts, and is not in PATH (`apt-get install {name}`)")
            }
            started => started,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Counter::Callgrind => "valgrind",
            Counter::Strace => "strace",
        }
    }

    fn is_installed(self) -> bool {
        Command::new(self.name()).arg("--version").stdout(Stdio::null()).status().is_ok()
    }

    /// The sum in what it has written.
    fn count(self, text: &str) -> Option<u64> {
        match self {
            Counter::Callgrind => text.lines().find_map(|line| line.strip_prefix("summary: "))?.split(' ').next()?,
            Counter::Strace => text.lines().find(|line| line.ends_with(" total"))?.split_whitespace().nth(3)?,
        }
        .parse()
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn the_sums_are_found() {
        assert_eq!(Counter::Callgrind.count("version: 1\nevents: Ir\nsummary: 1234\n\nfn=(0) main\n1 2\n"), Some(1234));
        assert_eq!(Counter::Callgrind.count("version: 1\n"), None);
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ------\n\
                      100.00    0.086567           8       788         7 total\n";
        assert_eq!(Counter::Strace.count(strace), Some(788));
        assert_eq!(Counter::Strace.count(""), None);
    }
}
