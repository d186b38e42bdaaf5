//! Tables on narrow terminals.

/// A column as it would be shown.
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) width: usize,
    /// Whether anything is known that it would show.
    pub(crate) known: bool,
}

/// Which columns are shown, with this much space between two. Of `least`, those without known values never are, and the others as
/// long as there is room, the least needed last.
pub(crate) fn fit(columns: &[Column<'_>], space: usize, room: usize, least: &[&str]) -> Vec<bool> {
    let mut kept = vec![true; columns.len()];
    let needed = |kept: &[bool]| {
        let widths = columns.iter().zip(kept).filter(|(_, kept)| **kept).map(|(column, _)| column.width + space);
        widths.sum::<usize>().saturating_sub(space)
    };
    let at = |name: &&str| columns.iter().position(|column| column.name == *name);
    for column in least.iter().filter_map(at).filter(|&column| !columns[column].known) {
        kept[column] = false;
    }
    for column in least.iter().filter_map(at) {
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
    fn what_is_unknown_is_never_shown_and_what_is_least_needed_where_there_is_room() {
        let columns = [("NODE", true), ("CPU", true), ("CONNS", false)];
        let columns = columns.map(|(name, known)| Column { name, width: 5, known });
        let fits = |room| fit(&columns, 2, room, &["CPU", "CONNS"]);
        assert_eq!(fits(usize::MAX), [true, true, false]);
        assert_eq!(fits(12), [true, true, false]);
        assert_eq!(fits(11), [true, false, false]);
        assert_eq!(fits(1), [true, false, false], "what is always needed stays");
    }
}
