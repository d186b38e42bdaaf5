//! What deploys of a server have cost, and the table of all servers.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use multi_node_probe::{Counts, How, Kind, Tally};
use serde::Serialize;

use super::{
    Options,
    rows::Row,
    site::Deployed,
    window::{DEPLOY, EVERYWHERE},
};
use crate::table;

/// Of one server.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) server: String,
    ours: bool,
    /// Whether the library promises that its deploys lose nothing.
    promises_none: bool,
    deploys: u64,
    failed_deploys: u64,
    /// One of ours, the end of which was not in good order.
    pub(super) has_ended_badly: bool,
    /// Of the clients that every server serves.
    http: Met,
    half_closing: Met,
    websockets: Met,
    /// Kept connections that the server closed while nothing was under way on them.
    closed_idle: u64,
    lost_by: BTreeMap<How, u64>,
    /// The longest that a client has waited, in vain or not.
    longest_wait_ms: f64,
    /// Until the new release served alone, of every deploy.
    deploys_took_s: Vec<f64>,
    /// Of one deploy of a release that fails at its start.
    broken: Option<Broken>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Met {
    answered: u64,
    lost: u64,
}

#[derive(Debug, Serialize)]
struct Broken {
    answered: u64,
    lost: u64,
    is_refused: bool,
}

impl Outcome {
    pub(super) fn of(row: &Row) -> Outcome {
        Outcome {
            server: row.name.clone(),
            ours: row.ours,
            promises_none: row.promises_none,
            deploys: 0,
            failed_deploys: 0,
            has_ended_badly: false,
            http: Met::default(),
            half_closing: Met::default(),
            websockets: Met::default(),
            closed_idle: 0,
            lost_by: BTreeMap::new(),
            longest_wait_ms: 0.0,
            deploys_took_s: Vec::new(),
            broken: None,
        }
    }

    /// Adds what one deploy has cost.
    pub(super) fn add(&mut self, tally: &Tally, deployed: &Deployed) {
        let of = |wanted: &[Kind]| tally.sum(|phase, kind| phase == DEPLOY && wanted.contains(&kind));
        let http = of(&EVERYWHERE);
        self.deploys += 1;
        self.failed_deploys += u64::from(deployed.has_failed);
        self.http.add(&http);
        self.half_closing.add(&of(&[Kind::HalfClosing]));
        self.websockets.add(&of(&[Kind::WebSocket]));
        self.closed_idle += http.closed_idle;
        self.longest_wait_ms = self.longest_wait_ms.max(http.worst.as_secs_f64() * 1000.0);
        self.deploys_took_s.push(deployed.took.as_secs_f64());
        for (how, count) in of(&Kind::ALL).lost {
            *self.lost_by.entry(how).or_default() += count;
        }
    }

    pub(super) fn add_broken(&mut self, tally: &Tally, deployed: &Deployed) {
        let mut met = Met::default();
        met.add(&tally.sum(|phase, kind| phase == DEPLOY && EVERYWHERE.contains(&kind)));
        self.broken = Some(Broken { answered: met.answered, lost: met.lost, is_refused: deployed.has_failed });
    }

    pub(super) fn answered(&self) -> u64 {
        self.http.answered + self.half_closing.answered + self.websockets.answered
    }

    /// What has to hold of ours.
    pub(super) fn keeps_promises(&self) -> Result<()> {
        let (server, lost) = (&self.server, self.lost_by.values().sum::<u64>());
        ensure!(!self.promises_none || lost == 0, "{server} has lost {lost} requests, and promises that it loses none");
        ensure!(!self.ours || self.failed_deploys == 0, "{server}: {} deploys have failed", self.failed_deploys);
        ensure!(!self.has_ended_badly, "{server} has not ended in good order");
        Ok(())
    }

    fn cells(&self) -> Vec<String> {
        let Met { answered, lost } = self.http;
        let per =
            |count: u64| format!("{} (≤ {})", figure(lost as f64 / count as f64), figure(at_most(lost) / count as f64));
        let per_million = |count: u64| {
            let by = 1e6 / count.max(1) as f64;
            format!("{} (≤ {})", figure(lost as f64 * by), figure(at_most(lost) * by))
        };
        let how = self.lost_by.iter().map(|(how, count)| format!("{count} {}", how.name())).collect::<Vec<_>>();
        let took = table::Spread::of(self.deploys_took_s.iter().copied());
        vec![
            self.server.clone(),
            if self.failed_deploys == 0 {
                self.deploys.to_string()
            } else {
                format!("{}, {} failed", self.deploys, self.failed_deploys)
            },
            answered.to_string(),
            lost.to_string(),
            per(self.deploys.max(1)),
            per_million(answered + lost),
            self.half_closing.cell(),
            self.websockets.cell(),
            how.join(", "),
            figure(self.closed_idle as f64 / self.deploys.max(1) as f64),
            format!("{:.0}", self.longest_wait_ms),
            took.map_or_else(String::new, |took| format!("{:.1}", took.median)),
            self.broken.as_ref().map_or_else(String::new, Broken::cell),
        ]
    }
}

impl Met {
    fn add(&mut self, counts: &Counts) {
        self.answered += counts.answered;
        self.lost += counts.all_lost();
    }

    /// Nothing, where the server does not serve such clients.
    fn cell(self) -> String {
        if self == Met::default() {
            "–".to_owned()
        } else {
            format!("{} of {}", self.lost, self.answered + self.lost)
        }
    }
}

impl Broken {
    fn cell(&self) -> String {
        let said = if self.is_refused { "exit code says so" } else { "exit code 0" };
        format!("{} of {}; {said}", self.lost, self.answered + self.lost)
    }
}

/// The upper 95 % bound of the mean number of losses, where this number was seen: that of a Poisson distribution, which is 3 for none,
/// by the approximation of Wilson and Hilferty, which is right within 1 %.
fn at_most(lost: u64) -> f64 {
    let next = lost as f64 + 1.0;
    if lost == 0 { 3.0 } else { next * (1.0 - 1.0 / (9.0 * next) + 1.645 / (3.0 * next.sqrt())).powi(3) }
}

/// With as many decimals as it needs.
fn figure(value: f64) -> String {
    if value < 10.0 && value > 0.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

const HEAD: [&str; 13] = [
    "server",
    "deploys",
    "answered",
    "lost",
    "per deploy (95 %)",
    "per million (95 %)",
    "half-closing lost",
    "WebSockets lost",
    "all lost, how",
    "kept closed per deploy",
    "longest wait ms",
    "deploy takes s",
    "lost by a broken release",
];

/// Says what was compared, and prints the table.
pub(super) fn print(outcomes: &[Outcome], options: &Options, took: Duration) {
    println!(
        "{} processes of each server, {} requests/s of the same clients, windows of {} s, in rounds; {:.0} minutes\n",
        options.nodes,
        options.rate,
        options.window,
        took.as_secs_f64() / 60.0
    );
    let cells: Vec<Vec<String>> = outcomes.iter().map(Outcome::cells).collect();
    match options.markdown {
        true => table::markdown(&HEAD, &cells),
        false => table::print(&HEAD, &cells),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_tables() {
        for (lost, expected) in [(0, 3.0), (1, 4.74), (2, 6.30), (5, 10.51), (10, 16.96), (100, 118.1)] {
            assert!((at_most(lost) - expected).abs() < expected / 100.0, "{lost}: {}", at_most(lost));
        }
    }
}
