use super::*;

const BRIEF: Duration = Duration::from_millis(10);
const STABLE: Duration = Duration::from_secs(60);

fn rules(deaths: usize, jitter: f64) -> Rules {
    Rules {
        backoff: Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(30), jitter },
        crash_loop: CrashLoop { deaths, within: STABLE },
    }
}

/// A node that has served for so long, one of several that serve.
fn parted(parting: Parting, served: Duration) -> Parted {
    Parted { parting, lived: served, served: Some(served), others_serve: true }
}

/// The pauses after one such node after another has parted, a second apart.
fn pauses_after(rules: &Rules, node: Parted, count: usize) -> Vec<u128> {
    let (mut restarts, mut jitter, start) = (Restarts::default(), Jitter::new(7), Instant::now());
    (0..count)
        .map(|n| {
            let now = start + Duration::from_secs(n as u64);
            restarts.parted(now, node, rules, &mut jitter).after.as_millis()
        })
        .collect()
}

fn pauses(rules: &Rules, parting: Parting, count: usize) -> Vec<u128> {
    pauses_after(rules, parted(parting, BRIEF), count)
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
    let mut part = |served| restarts.parted(now, parted(Parting::Died, served), &rules, &mut jitter);
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
        assert!(!restarts.parted(now, parted(Parting::Died, BRIEF), &rules, &mut jitter).loops, "death {n}");
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

#[test]
fn a_node_that_served_and_ended_with_success_costs_no_pause_and_counts_for_nothing() {
    let rules = rules(3, 0.2);
    let finished = |served| parted(Parting::Finished, Duration::from_millis(served));
    assert_eq!(pauses_after(&rules, finished(800), 50), [0; 50]);
    assert_eq!(pauses_after(&rules, finished(10), 50), [90; 50], "starts in one slot are 100 ms apart at least");

    let (mut restarts, mut jitter, now) = (Restarts::default(), Jitter::new(7), Instant::now());
    for _ in 0..50 {
        restarts.parted(now, finished(10), &rules, &mut jitter);
    }
    let death = restarts.parted(now, parted(Parting::Died, BRIEF), &rules, &mut jitter);
    assert_eq!(death, Pause { after: Duration::ZERO, loops: false }, "the first death is the first");
}

#[test]
fn the_last_that_served_is_replaced_at_once_however_often_it_ends() {
    let rules = rules(5, 0.2);
    let last = |parting, served| Parted { others_serve: false, ..parted(parting, Duration::from_millis(served)) };
    assert_eq!(pauses_after(&rules, last(Parting::Died, 500), 20), [0; 20]);
    let quick = pauses_after(&rules, last(Parting::Died, 30), 20);
    assert!(quick.iter().all(|&pause| pause <= 70), "starts are 100 ms apart at most: {quick:?}");
    let left = pauses_after(&rules, last(Parting::Left, 500), 20);
    assert!(left.iter().all(|&pause| pause <= 1000) && left.ends_with(&[1000; 10]), "{left:?}");

    let mut never_served = last(Parting::Died, 500);
    never_served.served = None;
    assert_eq!(pauses_after(&rules, never_served, 20).iter().filter(|&&pause| pause > 20_000).count(), 16);
}

#[test]
fn the_last_that_served_makes_a_crash_loop_as_any_other() {
    let (rules, mut restarts, mut jitter) = (rules(3, 0.0), Restarts::default(), Jitter::new(7));
    let last = Parted { others_serve: false, ..parted(Parting::Died, BRIEF) };
    let mut part = |node| restarts.parted(Instant::now(), node, &rules, &mut jitter);
    let said: Vec<_> = (0..4).map(|_| part(last)).map(|pause| (pause.after.as_millis(), pause.loops)).collect();
    assert_eq!(said, [(0, false), (90, false), (90, true), (90, false)]);
    assert_eq!(part(Parted { others_serve: true, ..last }).after, Duration::from_secs(30), "once another one serves");
}

/// The first outputs for the seed 0, as SplitMix64's reference implementation gives them.
#[test]
fn chance_is_splitmix64() {
    let mut jitter = Jitter::new(0);
    for expected in [0xE220_A839_7B1D_CDAF_u64, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F] {
        assert_eq!(jitter.fraction(), (expected >> 11) as f64 / 2_f64.powi(53));
    }
}

#[test]
fn jitter_makes_a_pause_longer_by_a_fraction_above_the_half() {
    // The first fraction of the seed 0 is 0.8833.
    let varied = Jitter::new(0).vary(Duration::from_secs(100), 0.5).as_secs_f64();
    assert!((varied - 138.33).abs() < 0.01, "{varied}");
}
