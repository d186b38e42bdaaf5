//! The load: many clients in one process of its own, so that it does not count as the server's.

mod client;

pub(crate) use self::client::Connection;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::AddAssign,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::{runtime::Builder, task::JoinSet, time::timeout_at};

use crate::process::{self, Process};

/// How long after the end of the run a client may still wait for its last answer.
const GRACE: Duration = Duration::from_secs(5);

/// Arguments of `load`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Where the server is.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Whether connections are kept.
    #[arg(long, default_value = "keep-alive")]
    pub(crate) mode: Mode,
    /// Clients at a time, each with one connection.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// How long clients go on sending requests.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,
    /// Requests after which a client ends before its time.
    #[arg(long)]
    pub(crate) requests: Option<u64>,
}

/// Whether connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Each client sends all its requests on one connection.
    KeepAlive,
    /// Each request has a connection of its own.
    PerRequest,
}

impl Mode {
    /// As it is typed and printed.
    pub(crate) fn name(self) -> String {
        process::argument(&self)
    }
}

/// What the clients met.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Requests with a whole answer of status 200.
    pub(crate) requests: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Failures, counted by their kind.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Report) {
        self.requests += other.requests;
        self.seconds = self.seconds.max(other.seconds);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// When a client ends.
#[derive(Debug, Clone, Copy)]
struct Until {
    time: Instant,
    requests: u64,
}

/// Runs the load in a process of its own.
pub(crate) fn start(options: &Options) -> Result<Report> {
    let mut args = vec!["load".to_owned()];
    args.push(format!("--address={}", options.address));
    args.push(format!("--mode={}", options.mode.name()));
    args.push(format!("--connections={}", options.connections));
    args.push(format!("--seconds={}", options.seconds));
    args.extend(options.requests.map(|requests| format!("--requests={requests}")));
    Process::start(&args, Stdio::null())?.answer()
}

/// Runs the load in this process and prints its report.
pub(crate) fn run(options: &Options) -> Result<()> {
    process::die_with_parent()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    println!("{}", serde_json::to_string(&runtime.block_on(all_clients(options)))?);
    Ok(())
}

async fn all_clients(options: &Options) -> Report {
    let start = Instant::now();
    let time = start + Duration::from_secs_f64(options.seconds);
    let until = Until { time, requests: options.requests.unwrap_or(u64::MAX) };
    let mut clients = JoinSet::new();
    for _ in 0..options.connections {
        clients.spawn(client::run(options.address, options.mode, until));
    }
    let mut total = Report::default();
    while let Ok(Some(report)) = timeout_at((time + GRACE).into(), clients.join_next()).await {
        total += report.unwrap_or_default();
    }
    if !clients.is_empty() {
        total.errors.insert("no answer".to_owned(), clients.len() as u64);
    }
    total.seconds = start.elapsed().as_secs_f64();
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_add_up_by_kind() {
        let errors = |pairs: &[(&str, u64)]| pairs.iter().map(|&(kind, count)| (kind.to_owned(), count)).collect();
        let mut total = Report { requests: 1, seconds: 2.0, errors: errors(&[("read", 1)]) };
        total += Report { requests: 2, seconds: 1.0, errors: errors(&[("read", 2), ("connect", 1)]) };
        assert_eq!(total, Report { requests: 3, seconds: 2.0, errors: errors(&[("connect", 1), ("read", 3)]) });
    }
}
