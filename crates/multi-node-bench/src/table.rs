//! Figures of several rounds, and how they are printed.

use anyhow::Result;
use serde::Serialize;

/// What several rounds gave for one quantity.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    /// The smallest value.
    pub(crate) min: f64,
    /// The value in the middle.
    pub(crate) median: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without a value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let upper = values.len() / 2;
        let lower = (values.len() - 1) / 2;
        Some(Spread { min, median: f64::midpoint(values[lower], values[upper]), max })
    }

    /// The median and, in brackets, the extremes.
    pub(crate) fn show(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$}–{:.decimals$})", self.median, self.min, self.max)
    }
}

/// One quantity in a table of many.
#[derive(Serialize)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    #[serde(flatten)]
    spread: Spread,
}

impl Row {
    /// `None` without a value.
    pub(crate) fn of(what: String, unit: &'static str, values: impl IntoIterator<Item = f64>) -> Option<Row> {
        Spread::of(values).map(|spread| Row { what, unit, spread })
    }
}

/// Prints rows under a head that begins with `what`, or as JSON.
pub(crate) fn print_rows(what: &str, rows: &[Row], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    let cells = |row: &Row| vec![row.what.clone(), row.spread.show(2), row.unit.to_owned()];
    print(&[what, "median (min–max)", "unit"], &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}

/// Prints rows under a head, each column as wide as its widest cell: the first to the left, the others to the right.
pub(crate) fn print(head: &[&str], rows: &[Vec<String>]) {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let width = |column: usize| {
        std::iter::once(&head).chain(rows).map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in std::iter::once(&head).chain(rows) {
        println!("{}", line(row, &widths));
    }
}

/// Prints rows under a head, as Markdown.
pub(crate) fn markdown(head: &[&str], rows: &[Vec<String>]) {
    println!("| {} |", head.join(" | "));
    println!("|{}", "---|".repeat(head.len()));
    rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
}

fn line(row: &[String], widths: &[usize]) -> String {
    let pad = |(column, (cell, &width)): (usize, (&String, &usize))| match column {
        0 => format!("{cell:<width$}"),
        _ => format!("  {cell:>width$}"),
    };
    row.iter().zip(widths).enumerate().map(pad).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        let spread = Spread::of([3.0, 1.0, 2.0]).expect("values");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).expect("values").median, 2.5);
        assert!(Spread::of([]).is_none());
    }

    #[test]
    fn cells_are_padded_to_their_column() {
        assert_eq!(line(&["a".into(), "12".into()], &[3, 4]), "a      12");
    }
}
