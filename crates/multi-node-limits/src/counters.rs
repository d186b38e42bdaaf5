//! Counters that all processes add to.

use std::sync::atomic::Ordering::Relaxed;

use crate::table::{self, SharedTable};

/// A number that only grows, of all processes of the program together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counter {
    table: SharedTable,
    /// Where its value is.
    at: usize,
}

/// The table has no place for another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {} counters already, which is the most", table::COUNTERS)]
pub struct TooManyCounters;

impl Counter {
    /// The counter of this name in the table.
    ///
    /// # Errors
    /// Where the table has as many names already as it can hold.
    pub fn new(table: SharedTable, name: &str) -> Result<Counter, TooManyCounters> {
        let pair = table.place_of(name, table.counters().iter().step_by(2)).ok_or(TooManyCounters)?;
        Ok(Counter { table, at: 2 * pair + 1 })
    }

    /// Adds to it, and wraps around at 2⁶⁴.
    pub fn add(&self, amount: u64) {
        self.table.counters()[self.at].fetch_add(amount, Relaxed);
    }

    /// What all processes have added, those that have ended too.
    pub fn get(&self) -> u64 {
        self.table.counters()[self.at].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_known_by_its_name() {
        let table = SharedTable::local(1, [1; 16]);
        let counter = |name| Counter::new(table.clone(), name).expect("room");
        counter("sent").add(2);
        counter("received").add(5);
        counter("sent").add(1);
        assert_eq!((counter("sent").get(), counter("received").get()), (3, 5));
    }

    #[test]
    fn there_is_an_end_to_names() {
        let table = SharedTable::local(1, [1; 16]);
        for number in 0..table::COUNTERS {
            Counter::new(table.clone(), &number.to_string()).expect("room");
        }
        assert_eq!(Counter::new(table.clone(), "another").err(), Some(TooManyCounters));
        assert!(Counter::new(table, "0").is_ok());
    }
}
