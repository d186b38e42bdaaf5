//! What is done to multi-node while its clients count.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use multi_node::State;
use multi_node_bench::kills::Kills;
use multi_node_probe::{Load, Tally};

use super::{
    Options,
    outcome::{BROKEN, DEPLOYS, Outcome},
    program::{Program, until},
};

/// The phases, as tables show them.
const UPGRADES: &str = "upgrades";
const KILLS: &str = "kills";
const RECYCLES: &str = "recycles";

/// Requests after which a node is recycled: some seconds' worth.
const MAX_REQUESTS: u64 = 10_000;

/// The time between two events, in which what is under way comes to rest.
const REST: Duration = Duration::from_millis(200);
/// The longest such time, however few requests there were.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// The pace of a campaign: so many requests are spread evenly over so many events, and what comes after goes on at that pace.
struct Pace<'a> {
    tally: &'a Tally,
    requests: u64,
    events: usize,
    done: usize,
}

/// Does everything, to two programs: one whose nodes are recycled, and one that is deployed,
/// upgraded, and whose nodes are killed.
pub(super) fn run(options: &Options) -> Result<Outcome> {
    let mut outcome = Outcome::of("multi-node");
    recycles(options, &mut outcome)?;
    deploys_upgrades_and_kills(options, &mut outcome)?;
    Ok(outcome)
}

fn recycles(options: &Options, outcome: &mut Outcome) -> Result<()> {
    let requests = MAX_REQUESTS.min(options.requests / 20);
    let args = [format!("--nodes={}", options.nodes), format!("--max-requests={requests}")];
    let program = Program::start(&args, &options.results.join("recycles.log"))?;
    let load = Load::start(&options.plan(program.address));
    load.tally().enter(RECYCLES);
    let mut recycled = BTreeSet::new();
    until(|| {
        let serving = program.status()?.slots.into_iter().filter(|slot| slot.state == State::Serving);
        recycled.extend(serving.filter_map(|slot| slot.id).filter(|id| id.number() > options.nodes as u64));
        Ok(recycled.len() >= options.recycles)
    })?;
    let tally = load.end();
    program.stop()?;
    outcome.add(&tally, &[(RECYCLES, recycled.len())], &Kills::default());
    Ok(())
}

fn deploys_upgrades_and_kills(options: &Options, outcome: &mut Outcome) -> Result<()> {
    let args = [format!("--nodes={}", options.nodes)];
    let mut program = Program::start(&args, &options.results.join("multi-node.log"))?;
    let load = Load::start(&options.plan(program.address));
    let mut kills = Kills::default();
    // What is answered while nodes are killed is not counted among the requests of which none may be lost.
    let events = options.deploys + options.upgrades;
    let mut pace = Pace { tally: load.tally(), requests: options.requests, events, done: 0 };
    outcome.broken_deploy = deploys(options, &mut program, &mut pace)?;
    upgrades(options, &mut program, &mut pace)?;
    kill(options, &program, &mut pace, &mut kills)?;
    let tally = load.end();
    program.stop()?;
    let phases = [
        (Tally::CALM, 0),
        (DEPLOYS, options.deploys - 1),
        (BROKEN, 1),
        (UPGRADES, options.upgrades),
        (KILLS, options.kills),
    ];
    outcome.add(&tally, &phases, &kills);
    Ok(())
}

/// All deploys, the one in the middle being that of a broken release; gives what was said of that.
fn deploys(options: &Options, program: &mut Program, pace: &mut Pace<'_>) -> Result<String> {
    let mut refused = String::new();
    for number in 0..options.deploys {
        if number == options.deploys / 2 {
            pace.tally.enter(BROKEN);
            refused = program.deploy_broken()?;
        } else {
            pace.tally.enter(DEPLOYS);
            program.deploy()?;
        }
        pace.tally.enter(Tally::CALM);
        pace.rest();
    }
    Ok(refused)
}

/// All upgrades, each to a release of its own.
fn upgrades(options: &Options, program: &mut Program, pace: &mut Pace<'_>) -> Result<()> {
    for _ in 0..options.upgrades {
        pace.tally.enter(UPGRADES);
        program.upgrade()?;
        pace.tally.enter(Tally::CALM);
        pace.rest();
    }
    Ok(())
}

/// All kills, of nodes in turn. Clients may learn late of one, so that there is no calm between.
fn kill(options: &Options, program: &Program, pace: &mut Pace<'_>, kills: &mut Kills) -> Result<()> {
    pace.tally.enter(KILLS);
    for number in 0..options.kills {
        let status = program.settled()?;
        let slot = &status.slots[number % status.slots.len()];
        kills.kill(slot.pid.context("it serves")?, program.address.port())?;
        pace.rest();
    }
    program.settled()?;
    Ok(())
}

impl Pace<'_> {
    /// Waits until the share of requests that belongs to the events so far is answered.
    fn rest(&mut self) {
        self.done += 1;
        thread::sleep(REST);
        let due = self.requests * self.done as u64 / self.events as u64;
        let limit = Instant::now() + LONGEST_REST;
        while self.tally.answered() < due && Instant::now() < limit {
            thread::sleep(REST / 10);
        }
    }
}
