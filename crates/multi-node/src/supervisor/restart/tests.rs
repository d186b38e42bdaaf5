use super::*;

const BRIEF: Duration = Duration::from_millis(10);
const STABLE: Duration = Duration::from_secs(60);

fn rules(deaths: usize, jitter: f64) -> Rules {
    Rules {
        backoff: Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(30), jitter },
        crash_loop: CrashLoop { deaths, within: STABLE },
    }
}

/// The pauses after one node after another has parted, a second apart.
fn pauses(rules: &Rules, parting: Parting, count: usize) -> Vec<u128> {
    let (mut restarts, mut jitter, start) = (Restarts::default(), Jitter::new(7), Instant::now());
    (0..count)
        .map(|n| {
            let now = start + Duration::from_secs(n as u64);
            restarts.parted(now, parting, BRIEF, rules, &mut jitter).after.as_millis()
        })
        .collect()
}

#[test]
fn the_first_end_costs_nothing_and_then_pauses_double_up_to_the_longest() {
    let expected = [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];
    assert_eq!(pauses(&rules(100, 0.0), Parting::Died, 12), expected);
    assert_eq!(pauses(&rules(5, 0.0), Parting::Left, 12), expected, "leaving never makes a crash loop");
}

#[test]
fn a_crash_loop_goes_to_the_longest_pause_and_is_said_once() {
    let (rules, mut restarts, mut jitter) = (rules(3, 0.0), Restarts::default(), Jitter::new(7));
    let now = Instant::now();
    let mut part = |served| restarts.parted(now, Parting::Died, served, &rules, &mut jitter);
    let said: Vec<_> = (0..5).map(|_| part(BRIEF)).map(|p| (p.after.as_millis(), p.loops)).collect();
    assert_eq!(said, [(0, false), (100, false), (30_000, true), (30_000, false), (30_000, false)]);
    assert_eq!(part(STABLE), Pause { after: Duration::ZERO, loops: false }, "a stable run is a new beginning");
}

#[test]
fn deaths_further_apart_than_the_window_are_no_crash_loop() {
    let (rules, mut restarts, mut jitter) = (rules(3, 0.0), Restarts::default(), Jitter::new(7));
    let start = Instant::now();
    for n in 0..10 {
        let now = start + Duration::from_secs(31) * n;
        assert!(!restarts.parted(now, Parting::Died, BRIEF, &rules, &mut jitter).loops, "death {n}");
    }
}

#[test]
fn jitter_stays_within_its_share_and_repeats_with_the_seed() {
    let varied = pauses(&rules(100, 0.2), Parting::Died, 20);
    let plain = pauses(&rules(100, 0.0), Parting::Died, 20);
    for (&varied, &plain) in varied.iter().zip(&plain) {
        assert!(varied * 10 + 10 >= plain * 8 && varied * 10 <= plain * 12, "{varied} for {plain}");
    }
    assert_ne!(varied, plain);
    assert_eq!(varied, pauses(&rules(100, 0.2), Parting::Died, 20));
}

#[test]
fn the_longest_durations_there_are_do_not_overflow() {
    let mut rules = rules(1, 1.0);
    rules.backoff = Backoff { initial: Duration::MAX, max: Duration::MAX, jitter: 1.0 };
    assert_eq!(pauses(&rules, Parting::Left, 100).len(), 100);
}
