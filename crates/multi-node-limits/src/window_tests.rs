use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;

const MS: u64 = 1_000_000;

fn cells(count: usize) -> Vec<AtomicU64> {
    (0..2 * count).map(|_| AtomicU64::new(0)).collect()
}

fn event(cells: &[AtomicU64], tag: u64, quota: &Quota, now: u64) -> Result<Answer, Full> {
    Window::new(cells, tag).event(quota, || now)
}

fn claim(cells: &[AtomicU64], at: usize, tag: u64, now: u64) -> Option<Claim<'_>> {
    let cell = Cell { tag: &cells[2 * at], state: &cells[2 * at + 1] };
    Claim::make(cell.seen(), tag, now)
}

/// How many live cells have this tag.
fn live(cells: &[AtomicU64], tag: u64) -> usize {
    let is_live = |pair: &&[AtomicU64]| pair[0].load(SeqCst) == tag && is_live(pair[1].load(SeqCst));
    cells.chunks(2).filter(is_live).count()
}

#[test]
fn a_key_has_one_cell() {
    let (cells, quota) = (cells(64), Quota::per_hour(3));
    let allowed = (0..10).filter(|step| event(&cells, 5, &quota, MS + step).expect("room").is_ok()).count();
    assert_eq!((allowed, live(&cells, 5)), (3, 1));
}

#[test]
fn a_claim_that_a_killed_process_left_counts_for_nobody_and_is_taken_over() {
    let (cells, quota) = (cells(1), Quota::per_hour(1));
    claim(&cells, 0, 5, 10 * MS).expect("a free cell");
    assert_eq!(event(&cells, 5, &quota, 11 * MS), Err(Full), "it may go on still");
    let late = (11 + STALE_MS) * MS;
    assert!(event(&cells, 6, &quota, late).expect("taken over").is_ok());
    assert_eq!((live(&cells, 5), live(&cells, 6)), (0, 1));
}

#[test]
fn a_claim_of_which_only_the_first_step_was_done_is_taken_over_too() {
    let (cells, quota) = (cells(1), Quota::per_hour(1));
    cells[1].store(CLAIM | 10 << NUMBER_BITS, SeqCst);
    assert_eq!(event(&cells, 5, &quota, 11 * MS), Err(Full));
    assert!(event(&cells, 5, &quota, (11 + STALE_MS) * MS).expect("taken over").is_ok());
}

#[test]
fn a_process_that_was_stopped_in_a_claim_finds_it_taken() {
    let (cells, quota) = (cells(1), Quota::per_hour(1));
    let stopped = claim(&cells, 0, 5, 10 * MS).expect("a free cell");
    let late = (11 + STALE_MS) * MS;
    assert!(event(&cells, 6, &quota, late).expect("taken over").is_ok());
    assert_eq!(stopped.finish(&quota, 10 * MS), None, "it tries again");
    assert!(event(&cells, 6, &quota, late).expect("its cell").is_err(), "the other key keeps its count");
}

#[test]
fn of_two_claims_for_a_key_one_lives() {
    let (cells, quota) = (cells(4), Quota::per_hour(1));
    let window = Window::new(&cells, 5);
    let one = claim(&cells, 0, 5, MS).expect("a free cell");
    let two = claim(&cells, 1, 5, MS).expect("a free cell");
    assert!(window.is_alone(&two), "it frees the other claim");
    assert_eq!(one.finish(&quota, MS), None);
    assert!(two.finish(&quota, MS).is_some());
    let three = claim(&cells, 2, 5, MS).expect("a free cell");
    assert!(!window.is_alone(&three), "a live cell is used in place of it");
    three.withdraw();
    assert_eq!(live(&cells, 5), 1);
}

#[test]
fn an_event_meets_no_other_key_that_has_taken_the_cell() {
    let (cells, quota) = (cells(1), Quota::new(1, Duration::from_nanos(1)).expect("valid"));
    event(&cells, 5, &quota, MS).expect("room").expect("allowed");
    let seen = Cell { tag: &cells[0], state: &cells[1] }.seen();
    event(&cells, 6, &quota, 2 * MS).expect("the first is quiet").expect("allowed");
    assert_eq!(seen.count(&quota, 3 * MS), None);
}

/// Threads stand for processes: the words are the same to them.
fn raced(threads: usize, keys: u64, cells_count: usize, quota: Quota, events: usize) -> (Vec<usize>, usize) {
    let cells = cells(cells_count);
    let allowed: Vec<AtomicUsize> = (0..keys).map(|_| AtomicUsize::new(0)).collect();
    let full = AtomicUsize::new(0);
    let start = std::time::Instant::now();
    let now = || MS + u64::try_from(start.elapsed().as_nanos()).expect("short");
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for step in 0..events {
                    let key = step as u64 % keys;
                    let tag = (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    match Window::new(&cells, tag).event(&quota, now) {
                        Ok(Ok(_)) => drop(allowed[usize::try_from(key).expect("few")].fetch_add(1, SeqCst)),
                        Ok(Err(_)) => {}
                        Err(Full) => drop(full.fetch_add(1, SeqCst)),
                    }
                }
            });
        }
    });
    (allowed.into_iter().map(AtomicUsize::into_inner).collect(), full.into_inner())
}

#[test]
fn all_together_are_allowed_what_one_is() {
    for _ in 0..20 {
        assert_eq!(raced(4, 1, 1024, Quota::per_hour(100), 20_000), (vec![100], 0));
    }
}

#[test]
fn new_keys_get_one_cell_each_however_many_come_at_once() {
    let (allowed, full) = raced(4, 2000, 1 << 14, Quota::per_hour(3), 20_000);
    assert_eq!((allowed.iter().filter(|count| **count == 3).count(), full), (2000, 0));
}

#[test]
fn cells_that_change_hands_all_the_time_lose_nothing_of_what_counts() {
    // The keys fill their cells again and again, and all of them together do not fit at once.
    let quota = Quota::new(1, Duration::from_micros(5)).expect("valid");
    let (allowed, _) = raced(4, 64, 32, quota, 20_000);
    assert!(allowed.iter().all(|count| *count > 0));
}
