//! Rounds, in each of which everything is measured once.

/// The cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// All of them, each round beginning with another one, so that none always follows the same.
pub(crate) fn in_turn<T>(all: &[T], round: usize) -> impl Iterator<Item = &T> {
    all.iter().cycle().skip(round % all.len()).take(all.len())
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn each_round_has_all_and_begins_with_the_next() {
        let rounds: Vec<Vec<_>> = (0..4).map(|round| in_turn(&[1, 2, 3], round).copied().collect()).collect();
        assert_eq!(rounds, [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]);
    }
}
