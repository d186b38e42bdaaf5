//! Columns that fit what is in them.

use super::{Colour, Paint};

/// A table whose first row is its head. Numbers stand at the right of their column.
#[derive(Debug)]
pub(crate) struct Table {
    /// For each column its name, and whether it holds numbers.
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Vec<Cell>>,
}

/// A text and its colour.
pub(crate) type Cell = (String, Option<Colour>);

impl Table {
    pub(crate) fn new(columns: &[(&'static str, bool)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as lines, without a newline at the end.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let head: Vec<Cell> = self.columns.iter().map(|(name, _)| ((*name).to_owned(), Some(Colour::Dim))).collect();
        let lines = std::iter::once(&head).chain(&self.rows).map(|row| self.line(row, paint));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, row: &[Cell], paint: Paint) -> String {
        let cells = row.iter().enumerate().map(|(index, (text, colour))| {
            let padding = " ".repeat(self.width(index) - text.chars().count());
            let painted = colour.map_or_else(|| text.clone(), |colour| paint.text(colour, text));
            match self.columns[index].1 {
                true => padding + &painted,
                false => painted + &padding,
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }

    fn width(&self, column: usize) -> usize {
        let head = self.columns[column].0.chars().count();
        self.rows.iter().map(|row| row[column].0.chars().count()).chain([head]).max().unwrap_or(head)
    }
}
