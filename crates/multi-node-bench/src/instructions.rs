//! Instructions that a request takes outside the kernel, by callgrind: a figure that other work on the machine cannot change. Each
//! server is one process, since valgrind does not know all system calls that a master needs.

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

/// What a request costs one server.
#[derive(Serialize)]
struct Row {
    mode: String,
    variant: String,
    instructions_per_request: f64,
    /// As a multiple of hand-made hyper's.
    ratio: f64,
}

/// Measures all variants in both modes and prints what they cost.
pub(crate) fn run(variants: &[Variant], json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for &mode in Mode::value_variants() {
        let by_hand = per_request(Variant::Reuseport, mode)?;
        for &variant in variants {
            let counted = if variant == Variant::Reuseport { by_hand } else { per_request(variant, mode)? };
            eprintln!("{}, {}: measured", mode.name(), variant.name());
            rows.push(Row {
                mode: mode.name(),
                variant: variant.name(),
                instructions_per_request: counted,
                ratio: counted / by_hand,
            });
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for mode in Mode::value_variants() {
        println!("\n{}, in one process", mode.name());
        let of_mode = rows.iter().filter(|row| row.mode == mode.name());
        let head = ["server", "instructions/request", "× reuseport"];
        table::print(&head, &of_mode.map(cells).collect::<Vec<_>>());
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    vec![row.variant.clone(), format!("{:.0}", row.instructions_per_request), format!("{:.3}", row.ratio)]
}

fn per_request(variant: Variant, mode: Mode) -> Result<f64> {
    let [shorter, longer] = REQUESTS;
    let (least, most) = (total(variant, mode, shorter)?, total(variant, mode, longer)?);
    let more = most.checked_sub(least).context("more requests took fewer instructions")?;
    Ok(more as f64 / (longer - shorter) as f64)
}

/// All instructions of a server that starts, answers this many requests of one client, and ends.
fn total(variant: Variant, mode: Mode, requests: u64) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let mut server = start(variant, &counts)?;
    let address = server.answer::<Announcement>()?.address();
    let options = load::Options { address, mode, connections: 1, seconds: LONGEST, requests: Some(requests) };
    let report = load::start(&options)?;
    ensure!(report.requests == requests, "{} answered {} of {requests}", variant.name(), report.requests);
    server.end();
    let text = std::fs::read_to_string(&counts).with_context(|| format!("callgrind wrote no {}", counts.display()))?;
    summary(&text).context("callgrind's output has no summary")
}

fn start(variant: Variant, counts: &Path) -> Result<Process> {
    // The library in one process has no nodes.
    let nodes = if variant == Variant::MultiNode { 0 } else { 1 };
    let mut valgrind = Command::new("valgrind");
    let out = format!("--callgrind-out-file={}", counts.display());
    valgrind.args(["--quiet", "--tool=callgrind", &out]).arg(std::env::current_exe()?);
    valgrind.args(Start::on_free_port(nodes).args(variant));
    match Process::run(valgrind.stdin(Stdio::null()).stdout(Stdio::piped())) {
        Err(error) if !installed() => {
            bail!("{error:#}: instructions are counted by valgrind, which is not in PATH (`apt-get install valgrind`)")
        }
        started => started,
    }
}

fn installed() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

/// The number of instructions that callgrind's file says in all.
fn summary(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("summary: "))?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_summary_is_found() {
        assert_eq!(summary("version: 1\nevents: Ir\nsummary: 1234\n\nfn=(0) main\n1 2\n"), Some(1234));
        assert_eq!(summary("version: 1\n"), None);
    }
}
