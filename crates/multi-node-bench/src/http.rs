//! The comparison of HTTP servers: all variants in turn, again and again, under the same load.

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::{
    cpu,
    load::{self, Mode},
    rounds::{cores, in_turn},
    table::{self, Spread},
    variants::{Shape, Variant},
};

/// Seconds of load that a server gets before it is measured, so that its memory is there and its branches are known.
const WARM_UP: f64 = 0.2;

/// Arguments of `http`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every variant is measured once in each mode.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds that one measurement takes.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Processes of a server, or threads of the one that is a single process.
    #[arg(long, default_value_t = cores())]
    nodes: usize,
    /// Clients at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Variants to be measured; all, if none is named.
    #[arg(long, value_delimiter = ',')]
    variants: Vec<Variant>,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the tables.
    #[arg(long)]
    json: bool,
}

/// What one server did in one round.
struct Sample {
    round: usize,
    mode: Mode,
    shape: Shape,
    per_second: f64,
    cpu_micros: f64,
    /// How often a thread of it went to sleep, for each request.
    sleeps: f64,
    errors: u64,
}

/// What one server did in all rounds.
#[derive(Serialize)]
struct Row {
    mode: String,
    server: String,
    requests_per_second: Spread,
    cpu_micros_per_request: Spread,
    sleeps_per_request: Spread,
    /// CPU per request, as a multiple of another server's in the same round.
    cpu_ratios: Vec<Ratio>,
    errors: u64,
}

#[derive(Serialize)]
struct Ratio {
    to: String,
    #[serde(flatten)]
    spread: Spread,
}

/// Runs all rounds and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen = if options.variants.is_empty() { Variant::value_variants() } else { &options.variants };
    let (shapes, rounds) = (shapes(chosen, options.nodes, cores()), if options.smoke { 1 } else { options.rounds });
    let mut samples = Vec::new();
    for round in 0..rounds {
        for &mode in Mode::value_variants() {
            for shape in in_turn(&shapes, round) {
                samples.push(measure(options, round, mode, *shape)?);
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    let rows: Vec<Row> = Mode::value_variants()
        .iter()
        .flat_map(|&mode| shapes.iter().map(move |&shape| (mode, shape)))
        .filter_map(|(mode, shape)| row(&samples, mode, shape, &shapes))
        .collect();
    print(&rows, &shapes, options.json)
}

/// Each variant with as many processes or threads as asked for. An axum program that becomes one of the library keeps its runtime, so
/// with axum's router there are one and two nodes, each with a thread for each core.
fn shapes(variants: &[Variant], nodes: usize, cores: usize) -> Vec<Shape> {
    let shapes = |&variant| match variant {
        Variant::MultiNodeAxum => [1, 2].map(|nodes| Shape { variant, nodes, threads: cores }).to_vec(),
        _ => vec![Shape { variant, nodes, threads: 1 }],
    };
    variants.iter().flat_map(shapes).collect()
}

fn measure(options: &Options, round: usize, mode: Mode, shape: Shape) -> Result<Sample> {
    let server = shape.start()?;
    let load = |seconds| {
        let address = server.address();
        load::start(&load::Options { address, mode, connections: options.connections, seconds, requests: None })
    };
    load(WARM_UP)?;
    let (before, slept) = (cpu::used_by(server.pids())?, cpu::sleeps_of(server.pids())?);
    let report = load(if options.smoke { WARM_UP } else { options.seconds })?;
    let used = cpu::used_by(server.pids())?.checked_sub(before).context("CPU time went backwards")?;
    let slept_since = cpu::sleeps_of(server.pids())?.saturating_sub(slept);
    let requests = report.requests as f64;
    Ok(Sample {
        round,
        mode,
        shape,
        per_second: requests / report.seconds,
        cpu_micros: used.as_secs_f64() * 1e6 / requests,
        sleeps: slept_since as f64 / requests,
        errors: report.errors.values().sum(),
    })
}

fn row(samples: &[Sample], mode: Mode, shape: Shape, shapes: &[Shape]) -> Option<Row> {
    let of = |shape| samples.iter().filter(move |sample| sample.mode == mode && sample.shape == shape);
    let ratio_to = |other: Shape| {
        let pairs =
            of(shape).flat_map(|mine| of(other).filter(|its| its.round == mine.round).map(move |its| (mine, its)));
        Spread::of(pairs.map(|(mine, its)| mine.cpu_micros / its.cpu_micros))
            .map(|spread| Ratio { to: other.variant.name(), spread })
    };
    Some(Row {
        mode: mode.name(),
        server: shape.name(),
        requests_per_second: Spread::of(of(shape).map(|sample| sample.per_second))?,
        cpu_micros_per_request: Spread::of(of(shape).map(|sample| sample.cpu_micros))?,
        sleeps_per_request: Spread::of(of(shape).map(|sample| sample.sleeps))?,
        cpu_ratios: compared_to(shapes).filter_map(ratio_to).collect(),
        errors: of(shape).map(|sample| sample.errors).sum(),
    })
}

/// Every server is compared to these, which have one thread a process. Columns have the names of the variants.
fn compared_to(shapes: &[Shape]) -> impl Iterator<Item = Shape> {
    shapes.iter().copied().filter(|shape| shape.variant != Variant::MultiNodeAxum)
}

fn print(rows: &[Row], shapes: &[Shape], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    let ratios: Vec<String> = compared_to(shapes).map(|shape| format!("CPU × {}", shape.variant.name())).collect();
    let mut head = vec!["server", "requests/s", "CPU µs/request"];
    head.extend(ratios.iter().map(String::as_str));
    head.extend(["sleeps/request", "errors"]);
    for mode in Mode::value_variants() {
        println!("\n{}; median (min–max)", mode.name());
        let of_mode = rows.iter().filter(|row| row.mode == mode.name());
        table::print(&head, &of_mode.map(cells).collect::<Vec<_>>());
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![row.server.clone(), row.requests_per_second.show(0), row.cpu_micros_per_request.show(2)];
    cells.extend(row.cpu_ratios.iter().map(|ratio| ratio.spread.show(3)));
    cells.extend([row.sleeps_per_request.show(2), row.errors.to_string()]);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_in_has_one_node_and_two() {
        let names = |variants: &[Variant]| shapes(variants, 4, 8).into_iter().map(Shape::name).collect::<Vec<_>>();
        assert_eq!(names(&[Variant::Axum, Variant::MultiNode]), ["axum, 4 threads", "multi-node, 4 processes"]);
        let drop_in = ["multi-node-axum, 1 process × 8 threads", "multi-node-axum, 2 processes × 8 threads"];
        assert_eq!(names(&[Variant::MultiNodeAxum]), drop_in);
    }
}
