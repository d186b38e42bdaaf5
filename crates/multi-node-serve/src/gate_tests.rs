use proptest::prelude::*;

use super::*;

fn line(open: u64, recent: u64) -> View {
    View { serving: true, open, recent, ..View::default() }
}

fn asleep(open: u64, recent: u64) -> View {
    View { asleep: true, ..line(open, recent) }
}

fn late(open: u64) -> View {
    View { late: true, ..line(open, 0) }
}

fn on_trial(open: u64, recent: u64) -> View {
    View { on_trial: true, ..line(open, recent) }
}

fn paused(open: u64) -> View {
    View { paused: true, ..line(open, 0) }
}

fn gone(open: u64) -> View {
    View { serving: false, ..line(open, 0) }
}

#[test]
fn verdicts() {
    let table: &[(&str, &[View], bool, bool)] = &[
        ("alone", &[line(900, 40)], true, false),
        ("even", &[line(3, 0), line(3, 0)], true, false),
        ("one more than the least", &[line(4, 0), line(3, 0)], true, false),
        ("two more than the least", &[line(5, 0), line(3, 0)], false, false),
        ("two more than one that is late", &[line(5, 0), late(3)], true, false),
        ("two more than one that is gone", &[line(5, 0), gone(3)], true, false),
        ("it does not serve yet itself", &[gone(0), line(3, 0)], true, false),
        ("many more, but less than its share of the recent", &[line(500, 40), line(2, 60)], true, false),
        ("many more, and its share", &[line(500, 50), line(2, 50)], false, false),
        ("many more, and nothing recent", &[line(500, 0), line(2, 0)], false, false),
        ("many more, and too few recent to matter", &[line(500, 0), line(2, 3)], false, false),
        ("asleep, with less than its share", &[asleep(500, 8), line(2, 12)], false, false),
        ("asleep, and the other has had half more than its share", &[asleep(500, 4), line(2, 12)], false, false),
        ("asleep, and the other has had more than that", &[asleep(500, 3), line(2, 12)], true, false),
        ("asleep, and the two others have had as much again", &[asleep(500, 4), line(2, 6), line(2, 6)], false, false),
        ("asleep, and the two others have had more than that", &[asleep(500, 3), line(2, 7), line(2, 6)], true, false),
        ("asleep, and the other is far ahead", &[asleep(500, 40), line(2, 60)], true, false),
        ("asleep, with much less than its share", &[asleep(500, 20), line(2, 80)], true, false),
        ("leaves, and a sleeper may come", &[line(5, 0), asleep(3, 0)], false, true),
        ("leaves, and the sleeper may not", &[line(5, 0), line(3, 0), asleep(6, 0)], false, false),
        ("stays, and a sleeper is as good", &[line(3, 0), asleep(3, 0)], true, false),
        ("stays, and a sleeper is better", &[line(4, 0), asleep(3, 0)], true, true),
        ("fresh among loaded ones that are owed", &[line(1, 90), asleep(500, 5), asleep(500, 5)], true, true),
        ("on trial, with less than its share", &[on_trial(5, 9), line(0, 30), line(0, 21)], true, false),
        ("on trial, with its share", &[on_trial(0, 10), line(9, 10), line(9, 10)], true, false),
        ("on trial, with more than its share", &[on_trial(0, 11), line(9, 10), line(9, 10)], false, false),
        ("on trial, and all others are late", &[on_trial(9, 90), late(0)], true, false),
        ("beside one on trial that has fewer", &[line(9, 10), on_trial(0, 10)], true, false),
        ("beside one on trial that is owed", &[line(9, 30), View { asleep: true, ..on_trial(9, 10) }], true, true),
        ("paused", &[paused(0), line(9, 10)], false, false),
        ("paused, and a sleeper may come", &[paused(9), asleep(0, 10)], false, true),
        ("beside one that is paused", &[line(9, 10), paused(0)], true, false),
        ("beside one that is paused and asleep", &[line(9, 10), View { asleep: true, ..paused(0) }], true, false),
        ("fresh among loaded ones that had theirs", &[line(1, 40), asleep(500, 30), asleep(500, 30)], true, false),
    ];
    for (what, lines, enter, wake) in table {
        let verdict = decide(lines, 0);
        assert_eq!((verdict.enter, verdict.wake), (*enter, *wake), "{what}");
    }
}

#[test]
fn a_process_without_a_line_is_let_in() {
    assert_eq!(decide(&[], 3), Verdict { enter: true, wake: false, level: false });
}

#[test]
fn what_is_recent_is_forgotten_where_all_have_as_many() {
    let table: &[(&str, &[View], bool)] = &[
        ("even", &[line(3, 90), line(3, 20)], true),
        ("one more", &[line(3, 90), asleep(4, 20)], true),
        ("two more", &[line(3, 90), line(5, 20)], false),
        ("two more, but late", &[line(3, 90), late(5)], true),
        ("two more, but paused", &[line(3, 90), paused(5)], true),
        ("too few to matter", &[line(3, 2), line(3, 1)], false),
        ("too few to matter for three", &[line(3, 2), line(3, 2), line(3, 1)], false),
        ("one is on trial", &[line(3, 90), on_trial(3, 20)], false),
    ];
    for (what, lines, level) in table {
        assert_eq!(decide(lines, 0).level, *level, "{what}");
    }
}

#[test]
fn who_let_a_connection_wait_does_not_count_until_it_takes_one() {
    let took = |accepted| View { accepted, ..line(3, 0) };
    let mut passed_over = PassedOver::default();
    passed_over.note(&[took(7), took(8)]);
    let enters = |passed_over: &PassedOver, lines: &[View]| {
        let mut lines = lines.to_vec();
        passed_over.mark(&mut lines, 0);
        decide(&lines, 0).enter
    };
    let laden = View { accepted: 7, ..line(5, 0) };
    assert!(enters(&passed_over, &[laden, took(8)]));
    assert!(!enters(&passed_over, &[laden, took(9)]), "it has taken one");
    assert!(!enters(&passed_over, &[laden, took(8), took(0)]), "this one has come since");
    assert!(!enters(&PassedOver::default(), &[laden, took(8)]));
    passed_over.note(&[took(7), View { asleep: true, ..took(8) }]);
    assert!(!enters(&passed_over, &[laden, took(8)]), "it was asleep");
}

fn any_line() -> impl Strategy<Value = View> {
    let rare = || prop::bool::weighted(0.2);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), rare(), rare());
    (flags, 0..2000_u64, 0..2000_u64).prop_map(|((serving, late, asleep, paused, on_trial), open, recent)| View {
        serving,
        busy: false,
        late,
        asleep,
        open,
        recent,
        accepted: 0,
        paused,
        on_trial,
    })
}

fn rank(line: &View) -> u64 {
    if line.on_trial { line.recent } else { line.open }
}

proptest! {
    /// Whatever the lines contain, at least one process may wait: the one with the fewest connections, or, if all are on
    /// trial, the one that has had the fewest.
    #[test]
    fn somebody_may_enter(lines in prop::collection::vec(any_line(), 1..40)) {
        let counting: Vec<_> = (0..lines.len()).filter(|&i| lines[i].counts()).collect();
        if let Some(&least) = counting.iter().min_by_key(|&&i| (lines[i].on_trial, rank(&lines[i]))) {
            prop_assert!(decide(&lines, least).enter);
        }
    }

    /// A process that has to leave writes to the wake fd if only sleeping processes may come.
    #[test]
    fn nobody_leaves_silently(lines in prop::collection::vec(any_line(), 1..40), own in 0..40_usize) {
        let own = own % lines.len();
        let verdict = decide(&lines, own);
        let sleeper_may_come = (0..lines.len()).any(|i| i != own && lines[i].counts() && lines[i].asleep && {
            let mut others = lines.clone();
            others[own].serving = true;
            others[own].late = false;
            decide(&others, i).enter
        });
        if !verdict.enter && sleeper_may_come {
            prop_assert!(verdict.wake);
        }
    }

    /// Connections that come one by one, and stay, end up within what the two rules allow. How often each process gets a turn
    /// does not matter.
    #[test]
    fn kept_connections_are_even(command in prop::collection::vec(0..8_usize, 600)) {
        let mut lines = vec![line(0, 0); 8];
        for own in command {
            if decide(&lines, own).enter {
                lines[own].open += 1;
                lines[own].recent += 1;
            }
        }
        let least = lines.iter().map(|l| l.open).min().unwrap_or(0);
        let most = lines.iter().map(|l| l.open).max().unwrap_or(0);
        let all: u64 = lines.iter().map(|l| l.open).sum();
        prop_assert!(most <= least + 2 || (most - 1) * 8 < all, "{least}..{most} of {all}");
    }

    /// The connections that stay are even, however unevenly the closed ones came, and however often each process gets a turn.
    #[test]
    fn kept_connections_are_even_after_short_ones(
        before in prop::collection::vec(0..500_u64, 8),
        command in prop::collection::vec(0..8_usize, 600),
    ) {
        let mut lines: Vec<_> = before.into_iter().map(|recent| line(0, recent)).collect();
        for own in command {
            let verdict = decide(&lines, own);
            if verdict.level {
                lines.iter_mut().for_each(|line| line.recent = 0);
            }
            if verdict.enter && lines.iter().map(|l| l.open).sum::<u64>() < 64 {
                lines[own].open += 1;
                lines[own].recent += 1;
            }
        }
        let most = lines.iter().map(|l| l.open).max().unwrap_or(0);
        prop_assert!(most <= 10, "{most} of 64");
    }

    /// One on trial that answers at once, among others that keep what they take, gets its share and no more.
    #[test]
    fn a_trial_is_a_fair_share(command in prop::collection::vec(0..4_usize, 800)) {
        let mut lines = [View { on_trial: true, ..line(0, 0) }, line(0, 0), line(0, 0), line(0, 0)];
        for own in command {
            if decide(&lines, own).enter {
                lines[own].open += u64::from(own != 0);
                lines[own].recent += 1;
            }
        }
        let all: u64 = lines.iter().map(|l| l.recent).sum();
        prop_assert!(lines[0].recent * 4 <= all + 4, "{} of {all}", lines[0].recent);
    }

    #[test]
    fn recent_connections_fade(start in 0..1_000_000_u64, steps in prop::collection::vec(0..400_u64, 1..200)) {
        let mut now = start;
        let (mut recent, mut times) = (Recent::default(), Vec::new());
        for step in steps {
            now += step;
            recent = recent.add(now);
            times.push(now);
            let within = |ms| times.iter().filter(|&&t| t + ms > now).count() as u64;
            let count = recent.at(now);
            prop_assert!(count >= 1 && count <= within(2000), "{count} of {}", within(2000));
        }
        prop_assert_eq!(recent.at(now + 2000), 0);
    }
}

#[test]
fn recent_is_the_rate_where_the_rate_is_steady() {
    let recent = (0..5000).step_by(10).fold(Recent::default(), Recent::add);
    for later in [0, 250, 500, 750] {
        let mut recent = recent;
        (5000..5000 + later).step_by(10).for_each(|now| recent = recent.add(now));
        let count = recent.at(5000 + later);
        assert!((98..=102).contains(&count), "{count} after {later} ms");
    }
}

#[test]
fn a_process_that_comes_is_owed_nothing() {
    let others = [line(500, 90), line(500, 70), gone(1), View { recent: 900, ..late(3) }];
    assert_eq!(Recent::share_of(&others, 123_456).at(123_456), 80);
    assert_eq!(Recent::share_of(&[], 123_456).at(123_456), 0);
}

#[test]
fn recent_does_not_overflow() {
    let full = Recent(COUNT_MAX);
    assert_eq!(full.add(0).at(0), COUNT_MAX);
}
