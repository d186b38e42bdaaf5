//! Columns that fit what is in them.

use super::{Colour, Column, Paint, UNKNOWN, fit};

/// What stands between two columns.
const SPACE: &str = "  ";

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

    /// Leaves out columns of which nothing is known, and others until the table is no wider, the least needed first.
    pub(crate) fn within(mut self, width: usize, least: &[&str]) -> Table {
        let column = |(index, (name, _)): (usize, &(&'static str, bool))| Column {
            name,
            width: self.width(index),
            known: self.rows.is_empty() || self.rows.iter().any(|row| row[index].0 != UNKNOWN),
        };
        let columns: Vec<_> = self.columns.iter().enumerate().map(column).collect();
        let kept = fit(&columns, SPACE.len(), width, least);
        retain(&mut self.columns, &kept);
        self.rows.iter_mut().for_each(|row| retain(row, &kept));
        self
    }

    /// Leaves out these columns.
    pub(crate) fn without(mut self, names: &[&str]) -> Table {
        let kept: Vec<_> = self.columns.iter().map(|(name, _)| !names.contains(name)).collect();
        retain(&mut self.columns, &kept);
        self.rows.iter_mut().for_each(|row| retain(row, &kept));
        self
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
        cells.collect::<Vec<_>>().join(SPACE).trim_end().to_owned()
    }

    fn width(&self, column: usize) -> usize {
        let head = self.columns[column].0.chars().count();
        self.rows.iter().map(|row| row[column].0.chars().count()).chain([head]).max().unwrap_or(head)
    }
}

fn retain<T>(of_columns: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    of_columns.retain(|_| kept.next() == Some(&true));
}
