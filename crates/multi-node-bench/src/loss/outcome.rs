//! What a server's clients met, by what was done to it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;

use multi_node_bench::kills::Kills;
use multi_node_probe::{Counts, How, Kind, Lost, Tally};
use serde::{Deserialize, Serialize};

use super::generators::Count;
use crate::table;

/// The phases that every server has, as tables show them.
pub(super) const DEPLOYS: &str = "deploys";
pub(super) const BROKEN: &str = "broken deploy";

/// Of one server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) server: String,
    pub(super) rows: Vec<Row>,
    /// What load generators of others have counted.
    pub(super) generators: Vec<Count>,
    /// What the deploy of the broken release said.
    pub(super) broken_deploy: String,
    /// The first of the lost requests that nothing explains.
    pub(super) examples: Vec<String>,
}

/// What clients met while one kind of thing was done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    phase: String,
    /// How often it was done.
    events: usize,
    answered: u64,
    lost: BTreeMap<How, u64>,
    /// How many of those were under way in a process that was killed.
    explained: u64,
    /// Connections that these held.
    held: u64,
    /// Kept connections that the server closed while nothing was under way on them.
    closed_idle: u64,
    /// Connections whose end the server announced; by a WebSocket's close frame, or `connection: close`.
    announced: u64,
    /// Of short requests.
    median_ms: f64,
    p99_ms: f64,
}

/// The kinds of load whose latency is the server's and not of the request's own making.
const SHORT: [Kind; 2] = [Kind::Kept, Kind::New];
/// Lost requests that are shown one by one.
const MOST_EXAMPLES: usize = 20;

impl Outcome {
    pub(super) fn of(server: &str) -> Outcome {
        Outcome {
            server: server.to_owned(),
            rows: Vec::new(),
            generators: Vec::new(),
            broken_deploy: String::new(),
            examples: Vec::new(),
        }
    }

    /// Writes it to a file, from which [`kept`](Outcome::kept) reads it.
    pub(super) fn keep(&self, file: &Path) -> Result<()> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)?)?)
    }

    /// What an earlier run has kept, if it is of this form.
    pub(super) fn kept(file: &Path) -> Option<Outcome> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Whether it is one of the library's.
    pub(super) fn is_ours(&self) -> bool {
        self.server.starts_with("multi-node")
    }

    /// Adds a row for each of these phases of a load: what it is called, and how often a thing was done in it.
    pub(super) fn add(&mut self, tally: &Tally, phases: &[(&'static str, usize)], kills: &Kills) {
        let lost = tally.lost();
        self.rows.extend(phases.iter().map(|&(phase, events)| Row::new(phase, events, tally, &lost, kills)));
        let unexplained = lost.iter().filter(|lost| !kills.explain(lost)).map(describe);
        self.examples.extend(unexplained);
        self.examples.truncate(MOST_EXAMPLES);
    }

    /// Lost requests that no kill explains.
    pub(super) fn unexplained(&self) -> u64 {
        let counted: u64 = self.generators.iter().map(|count| count.failed).sum();
        self.rows.iter().map(Row::unexplained).sum::<u64>() + counted
    }

    fn print(&self) {
        println!("\n{}", self.server);
        if !self.generators.is_empty() {
            let cells = |count: &Count| {
                vec![
                    count.generator.clone(),
                    count.deploys.to_string(),
                    count.answered.to_string(),
                    count.failed.to_string(),
                ]
            };
            table::print(
                &["generator", "deploys", "answered", "failed"],
                &self.generators.iter().map(cells).collect::<Vec<_>>(),
            );
            return;
        }
        let mut head = vec!["while", "events", "answered"];
        head.extend(How::ALL.map(How::name));
        head.extend(["by kills", "held", "closed idle", "announced", "median ms", "p99 ms"]);
        table::print(&head, &self.rows.iter().map(Row::cells).collect::<Vec<_>>());
        println!("broken release: {}", self.broken_deploy);
        for example in self.examples.iter().take(if self.is_ours() { MOST_EXAMPLES } else { 3 }) {
            println!("lost: {example}");
        }
    }

    /// One line of the comparison: what deploys have cost.
    fn summary(&self) -> Option<Vec<String>> {
        let row = |phase| self.rows.iter().find(|row: &&Row| row.phase == phase);
        let (deploys, broken) = (row(DEPLOYS)?, row(BROKEN)?);
        let lost = deploys.unexplained();
        let per_deploy = format!("{:.1}", lost as f64 / deploys.events as f64);
        let counts = [deploys.events as u64, deploys.answered, lost].map(|count| count.to_string());
        let mut cells = vec![self.server.clone()];
        cells.extend(counts);
        cells.extend([per_deploy, deploys.closed_idle.to_string(), broken.unexplained().to_string()]);
        Some(cells)
    }
}

/// Prints all tables, and the comparison last.
pub(super) fn print(outcomes: &[Outcome]) {
    outcomes.iter().for_each(Outcome::print);
    let head = ["server", "deploys", "answered", "lost", "lost per deploy", "closed idle", "lost by the broken deploy"];
    println!();
    table::print(&head, &outcomes.iter().filter_map(Outcome::summary).collect::<Vec<_>>());
}

impl Row {
    fn new(phase: &'static str, events: usize, tally: &Tally, lost: &[Lost], kills: &Kills) -> Row {
        let counts: Counts = tally.sum(|of, _| of == phase);
        let short: Counts = tally.sum(|of, kind| of == phase && SHORT.contains(&kind));
        let explained = lost.iter().filter(|lost| lost.phase == phase && kills.explain(lost)).count() as u64;
        Row {
            phase: phase.to_owned(),
            events,
            answered: counts.answered,
            lost: counts.lost,
            explained,
            held: if phase == "kills" { kills.connections() as u64 } else { 0 },
            closed_idle: counts.closed_idle,
            announced: counts.announced,
            median_ms: short.percentile(50.0),
            p99_ms: short.percentile(99.0),
        }
    }

    fn unexplained(&self) -> u64 {
        self.lost.values().sum::<u64>() - self.explained
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.phase.clone(), self.events.to_string(), self.answered.to_string()];
        cells.extend(How::ALL.map(|how| self.lost.get(&how).copied().unwrap_or_default().to_string()));
        cells.extend([self.explained, self.held, self.closed_idle, self.announced].map(|count| count.to_string()));
        cells.extend([self.median_ms, self.p99_ms].map(|ms| format!("{ms:.2}")));
        cells
    }
}

fn describe(lost: &Lost) -> String {
    let age = lost.connection.map(|(port, opened)| format!(", port {port}, {:.1?} old", lost.at - opened));
    format!("{} during {}: {}{}", lost.kind.name(), lost.phase, lost.failure, age.unwrap_or_default())
}
