//! Tables on narrow terminals.

/// A column as it would be shown.
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) width: usize,
    /// Whether anything is known that it would show.
    pub(crate) known: bool,
}

/// Which columns fit, with this much space between two. Columns without known values are left out first, then `least`, the
/// least needed first.
pub(crate) fn fit(columns: &[Column<'_>], space: usize, room: usize, least: &[&str]) -> Vec<bool> {
    let mut kept = vec![true; columns.len()];
    let needed = |kept: &[bool]| {
        let widths = columns.iter().zip(kept).filter(|(_, kept)| **kept).map(|(column, _)| column.width + space);
        widths.sum::<usize>().saturating_sub(space)
    };
    let at = |name: &&str| columns.iter().position(|column| column.name == *name);
    let unknown = least.iter().filter_map(at).filter(|&column| !columns[column].known);
    for column in unknown.chain(least.iter().filter_map(at)) {
        if needed(&kept) <= room {
            break;
        }
        kept[column] = false;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_least_needed_goes_first_and_what_is_unknown_before() {
        let columns = [("NODE", true), ("CPU", true), ("CONNS", false)];
        let columns = columns.map(|(name, known)| Column { name, width: 5, known });
        let fits = |room| fit(&columns, 2, room, &["CPU", "CONNS"]);
        assert_eq!(fits(19), [true, true, true]);
        assert_eq!(fits(18), [true, true, false]);
        assert_eq!(fits(11), [true, false, false]);
        assert_eq!(fits(1), [true, false, false], "what is always needed stays");
    }
}
