//! What deploys cost: every request that is lost while a server is deployed, ours and others under the same clients.

mod outcome;
mod rows;
mod server;
mod site;
mod window;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use outcome::Outcome;
use rows::{Parts, Row};
use site::Site;
use window::Window;

pub(crate) use server::{Start, serve};

/// Arguments of `loss`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Deploys of each server. In each round every server is deployed once; another round deploys a broken release.
    #[arg(long, default_value_t = 10)]
    deploys: usize,
    /// How long each deploy is measured, in seconds; longer where the new release does not yet serve alone by then.
    #[arg(long, default_value_t = 5.0)]
    window: f64,
    /// Requests per second, of all clients together that every server takes.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Go on until this number of requests was answered in windows, by all servers together.
    #[arg(long, default_value_t = 0)]
    answers: u64,
    /// Begin no further round after this number of minutes; all servers have had the same number of deploys then.
    #[arg(long, default_value_t = 40)]
    minutes: u64,
    /// Processes of each server.
    #[arg(long, default_value_t = 2)]
    nodes: usize,
    /// Which servers, by a part of their names; can be given more than once. All but upgrades, if none is named.
    #[arg(long)]
    only: Vec<String>,
    /// Ours alone, and their upgrades too.
    #[arg(long)]
    ours: bool,
    /// Over HTTPS, with a certificate of the run's own: the servers that are set up for it. Needs curl.
    #[arg(long)]
    tls: bool,
    /// A short run: one deploy of each server, and none of a broken release.
    #[arg(long)]
    quick: bool,
    /// What the clients' randomness begins with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where scripts/install-servers.sh has put programs of others.
    #[arg(long, default_value = "target/servers")]
    servers: PathBuf,
    /// The Node.js package; it has to be built.
    #[arg(long, default_value = "crates/multi-node-napi")]
    package: PathBuf,
    /// The command `multi-node` [default: the one beside this program]
    #[arg(long)]
    command: Option<PathBuf>,
    /// Where logs and the results as JSON are kept.
    #[arg(long, default_value = "target/loss")]
    results: PathBuf,
    /// Print the table as Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// A server that runs, and what its deploys have cost so far.
struct Measured<'a> {
    site: Site<'a>,
    window: Window,
    outcome: Outcome,
}

/// Deploys every server in rounds, and prints what was lost.
pub(crate) fn run(options: &Options) -> Result<()> {
    let options = options.sized();
    std::fs::create_dir_all(&options.results)?;
    let (rows, parts) = (rows::all()?, Parts::find(&options)?);
    let mut servers = Vec::new();
    for row in options.chosen(&rows.rows)? {
        match parts.missing(row) {
            Some(missing) => eprintln!("{} is left out: there is no {}", row.name, missing.display()),
            None => servers.push(Measured::start(row, rows.app(row)?, &parts, &options).context(row.name.clone())?),
        }
    }
    let begun = Instant::now();
    options.rounds(&mut servers)?;
    let outcomes: Vec<Outcome> = servers.into_iter().map(Measured::end).collect();
    let json = serde_json::to_string_pretty(&outcomes)?;
    std::fs::write(options.results.join("loss.json"), &json)?;
    match options.json {
        true => println!("{json}"),
        false => outcome::print(&outcomes, &options, begun.elapsed()),
    }
    outcomes.iter().try_for_each(Outcome::keeps_promises)
}

impl Options {
    /// As they are, or those of a short run.
    fn sized(&self) -> Options {
        match self.quick {
            true => Options { deploys: 1, window: self.window.min(2.0), ..self.clone() },
            false => self.clone(),
        }
    }

    /// The rows that are measured.
    fn chosen<'a>(&self, rows: &'a [Row]) -> Result<Vec<&'a Row>> {
        let rows = || rows.iter().filter(|row| row.tls == self.tls);
        for name in &self.only {
            ensure!(rows().any(|row| row.name.contains(name)), "--only: there is no server {name:?}");
        }
        let is_named = |row: &Row| self.only.is_empty() || self.only.iter().any(|name| row.name.contains(name));
        let is_meant = |row: &Row| if self.ours { row.ours } else { !row.upgrades || !self.only.is_empty() };
        Ok(rows().filter(|row| is_named(row) && is_meant(row)).collect())
    }

    /// One deploy of every server in each round, so that what disturbs the machine disturbs all of them alike.
    fn rounds(&self, servers: &mut [Measured<'_>]) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(60 * self.minutes);
        let mut round = 0;
        let answered = |servers: &[Measured<'_>]| servers.iter().map(|server| server.outcome.answered()).sum::<u64>();
        while (round < self.deploys || answered(servers) < self.answers) && Instant::now() < limit {
            round += 1;
            eprintln!("round {round}");
            servers.iter_mut().try_for_each(|server| server.deploy(round))?;
        }
        if !self.quick {
            eprintln!("a broken release");
            servers.iter_mut().try_for_each(Measured::deploy_broken)?;
        }
        Ok(())
    }
}

impl Measured<'_> {
    fn start<'a>(row: &'a Row, app: &'a rows::App, parts: &'a Parts, options: &Options) -> Result<Measured<'a>> {
        eprintln!("{} starts", row.name);
        let site = Site::start(row, app, parts, options)?;
        let window = Window::of(site.target()?, options)?;
        Ok(Measured { site, window, outcome: Outcome::of(row) })
    }

    fn deploy(&mut self, round: usize) -> Result<()> {
        let (tally, deployed) = self.window.around(round, || self.site.deploy(true));
        self.outcome.add(&tally, &deployed?);
        Ok(())
    }

    /// All that was done before was done to a sound release. The server may be gone afterwards.
    fn deploy_broken(&mut self) -> Result<()> {
        let (tally, deployed) = self.window.around(0, || self.site.deploy(false));
        self.outcome.add_broken(&tally, &deployed?);
        Ok(())
    }

    fn end(mut self) -> Outcome {
        if let Err(error) = self.site.stop() {
            eprintln!("{}: {error:#}", self.outcome.server);
            self.outcome.has_ended_badly = true;
        }
        self.outcome
    }
}
