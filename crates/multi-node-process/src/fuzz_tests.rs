//! The fuzz targets on stable Rust: each gets its seeds from `fuzz/seeds`, and then mutations of them for a bounded time.
//!
//! `FUZZ_SECONDS` is the time of each target, `FUZZ_SEED` makes other mutations. A failure shows its input; as a file in the target's
//! folder of seeds it is replayed from then on. cargo-fuzz, which sees what code an input reaches, runs the same functions.

#[expect(unreachable_pub, reason = "cargo-fuzz builds the same file into a crate of its own")]
#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::control::decode_control;
use crate::mesh::{Format, Json, MessagePack, decode_step};

/// The longest input, in bytes.
const LONGEST: usize = 4096;
/// The most mutations of an input, one upon the other.
const MOST_MUTATIONS: usize = 6;
/// Where decoders have their limits: lengths, marks and types of MessagePack, what frames JSON.
const TELLING: [u8; 14] = [0, 1, 4, 0x7f, 0x80, 0xc0, 0xc1, 0xc4, 0xcf, 0xd9, 0xdb, 0xdd, 0xdf, 0xff];

type Target = fn(&[u8]) -> usize;

#[test]
fn control_frames() {
    fuzz("control_frames", targets::control_frames);
}

#[test]
fn typed_frames() {
    fuzz("typed_frames", targets::typed_frames);
}

#[test]
fn json_frames() {
    fuzz("json_frames", targets::json_frames);
}

fn fuzz(name: &str, target: Target) {
    let (seed, time) = (number("FUZZ_SEED", 1), Duration::from_secs(number("FUZZ_SECONDS", 4)));
    let seeds = seeds(name);
    for input in &seeds {
        assert!(run(target, input) > 0, "a seed without a message: {}", input.escape_ascii());
    }
    let (mut rng, mut count, begun) = (Rng::with_seed(seed), 0_u64, Instant::now());
    while begun.elapsed() < time {
        run(target, &mutant(&seeds, &mut rng));
        count += 1;
    }
    println!("{name}: {} seeds, {count} mutations, FUZZ_SEED={seed}", seeds.len());
    assert!(count > 100, "only {count} mutations in {time:?}");
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// In a command that is the same everywhere.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", folder.display());
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

fn run(target: Target, input: &[u8]) -> usize {
    panic::catch_unwind(AssertUnwindSafe(|| target(input)))
        .unwrap_or_else(|_| panic!("the cause is above; the input: {}", input.escape_ascii()))
}

/// A seed, or two, changed in a few places.
fn mutant(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..=MOST_MUTATIONS) {
        let other = &seeds[rng.usize(..seeds.len())];
        mutate(&mut input, other, rng);
    }
    input.truncate(LONGEST);
    input
}

fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let end = rng.usize(at..=input.len()).min(at + 40);
    match rng.u8(..8) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => input.insert(at, TELLING[rng.usize(..TELLING.len())]),
        3 => input.extend_from_within(at..end),
        4 => drop(input.splice(at..end, other[rng.usize(..=other.len())..].iter().copied())),
        5 => drop(input.splice(at..end, std::iter::repeat_with(|| rng.u8(..)).take(end - at))),
        kind => {
            if let Some(byte) = input.get_mut(at) {
                *byte = if kind == 6 { TELLING[rng.usize(..TELLING.len())] } else { *byte ^ (1 << rng.u8(..8)) };
            }
        }
    }
}
