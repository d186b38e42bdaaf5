//! What deploys of each program cost, counted by `multi-node probe`: what the documents claim for any server is this table.

mod fleet;
mod programs;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::table;
use fleet::Fleet;
use programs::{Parts, Program};

pub(crate) use server::{Start, serve};

/// Arguments of `deploys`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Deploys of each program, one after the other, each of which is waited for.
    #[arg(long, default_value_t = 10)]
    deploys: usize,
    /// Nodes of each program.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Requests per second of all clients together.
    #[arg(long, default_value_t = 100)]
    rate: usize,
    /// Which programs; all, if none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where scripts/install-servers.sh has put programs of others.
    #[arg(long, default_value = "target/servers")]
    servers: PathBuf,
    /// The Node.js package; it has to be built.
    #[arg(long, default_value = "crates/multi-node-napi")]
    package: PathBuf,
    /// The command `multi-node` [default: the one beside this program]
    #[arg(long)]
    command: Option<PathBuf>,
    /// Where reports and logs are kept.
    #[arg(long, default_value = "target/deploys")]
    results: PathBuf,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// What deploys of a program have cost.
#[derive(Debug, Serialize)]
struct Row {
    program: &'static str,
    deploys: usize,
    sound: Report,
    broken: Report,
}

/// Of the report of `multi-node probe --json`, what the table shows.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    total: Total,
    command: Ended,
    left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Total {
    answered: u64,
    lost: u64,
    lost_by: std::collections::BTreeMap<String, u64>,
    closed_idle: u64,
    p99_ms: f64,
    worst_ms: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    exit_code: Option<i32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LeftOut {
    kind: String,
}

/// Measures each program, and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.results)?;
    let parts = Parts::find(options)?;
    for name in &options.only {
        ensure!(programs::ALL.iter().any(|program| program.name == name), "--only: there is no program {name:?}");
    }
    let mut rows = Vec::new();
    for program in
        programs::ALL.iter().filter(|of| options.only.is_empty() || options.only.iter().any(|name| name == of.name))
    {
        match program.missing(&parts) {
            Some(missing) => eprintln!("{} is skipped: there is no {}", program.name, missing.display()),
            None => rows.push(measure(program, &parts, options).with_context(|| program.name)?),
        }
    }
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    match options.markdown {
        true => markdown(&HEAD, &cells),
        false => table::print(&HEAD, &cells),
    }
    Ok(())
}

fn measure(program: &'static Program, parts: &Parts, options: &Options) -> Result<Row> {
    eprintln!("{}: {} deploys", program.name, options.deploys);
    let fleet = Fleet::start(program, parts, options)?;
    let sound = fleet.probe("sound", options.deploys, options)?;
    ensure!(sound.command.exit_code == Some(0), "a deploy failed; see {}", options.results.display());
    fleet.write(false)?;
    let broken = fleet.probe("broken", 1, options)?;
    fleet.stop()?;
    Ok(Row { program: program.name, deploys: options.deploys, sound, broken })
}

const HEAD: [&str; 11] = [
    "program",
    "deploys",
    "answered",
    "lost",
    "lost per deploy",
    "how",
    "kept connections closed",
    "p99 ms",
    "longest wait ms",
    "not answered anyway",
    "lost by a broken release",
];

impl Row {
    fn cells(&self) -> Vec<String> {
        let Total { answered, lost, lost_by, closed_idle, p99_ms, worst_ms } = &self.sound.total;
        let how: Vec<String> = lost_by
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(how, count)| format!("{count} {}", how.replace('_', " ")))
            .collect();
        let left_out: Vec<&str> = self.sound.left_out.iter().map(|left_out| left_out.kind.as_str()).collect();
        vec![
            self.program.to_owned(),
            self.deploys.to_string(),
            answered.to_string(),
            lost.to_string(),
            format!("{:.1}", *lost as f64 / self.deploys as f64),
            how.join(", "),
            closed_idle.to_string(),
            format!("{p99_ms:.1}"),
            format!("{worst_ms:.0}"),
            left_out.join(", "),
            self.broken.told(),
        ]
    }
}

impl Report {
    /// What a deploy has cost that was to be refused.
    fn told(&self) -> String {
        let refused = match self.command.exit_code {
            Some(0) => "not refused",
            _ => "refused",
        };
        format!("{}, {refused}", self.total.lost)
    }
}

fn markdown(head: &[&str], rows: &[Vec<String>]) {
    println!("| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
}

/// The file of a report or log.
fn kept(options: &Options, program: &Program, what: &str) -> PathBuf {
    let name: String = program.name.chars().map(|at| if at.is_ascii_alphanumeric() { at } else { '-' }).collect();
    Path::join(&options.results, format!("{name}.{what}"))
}
