//! Gauges: sums of what each process has at present.

use std::sync::atomic::Ordering::Relaxed;

use crate::table::{self, SharedTable};

/// A number of which each process has a part, such as the sockets that are open. The part of a process that has ended no longer counts. Cheap
/// to clone.
#[derive(Clone, Debug)]
pub struct Gauge {
    table: SharedTable,
    /// Which one it is.
    at: usize,
}

/// The table has no place for another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {} gauges already, which is the most", table::GAUGES)]
pub struct TooManyGauges;

impl Gauge {
    /// The gauge of this name in the table.
    ///
    /// # Errors
    /// Where the table has as many names already as it can hold.
    pub fn new(table: SharedTable, name: &str) -> Result<Gauge, TooManyGauges> {
        let at = table.place_of(name, table.gauges().iter()).ok_or(TooManyGauges)?;
        Ok(Gauge { table, at })
    }

    /// Adds to this process's part, or takes away from it. It wraps around at 2⁶³.
    pub fn add(&self, amount: i64) {
        self.table.own_gauge_cell(self.at).fetch_add(amount.cast_unsigned(), Relaxed);
    }

    /// Sets this process's part.
    pub fn set(&self, value: i64) {
        self.table.own_gauge_cell(self.at).store(value.cast_unsigned(), Relaxed);
    }

    /// The sum over all processes. Changes that are made meanwhile may be in it or not.
    pub fn get(&self) -> i64 {
        let parts = self.table.gauge_cells(self.at).map(|cell| cell.load(Relaxed));
        parts.fold(0, u64::wrapping_add).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(table: &SharedTable, name: &str) -> Gauge {
        Gauge::new(table.clone(), name).expect("room")
    }

    #[test]
    fn a_gauge_goes_up_and_down() {
        let table = SharedTable::local(1, [1; 16]);
        let (online, jobs) = (gauge(&table, "online"), gauge(&table, "jobs"));
        online.add(5);
        gauge(&table, "online").add(-7);
        jobs.set(3);
        assert_eq!((online.get(), jobs.get()), (-2, 3));
        online.set(1);
        assert_eq!(online.get(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_parts_of_processes_are_added_up_and_those_of_ended_ones_are_not() {
        let size = crate::Size { keys: 1, processes: 3 };
        let (table, file) = SharedTable::create(size, [1; 16]).expect("made");
        let of = |process| SharedTable::open(&file).expect("opened").of_process(process).expect("room");
        let parts: Vec<Gauge> = (0..3).map(|process| gauge(&of(process), "online")).collect();
        parts.iter().zip([1, 20, 300]).for_each(|(part, value)| part.set(value));
        gauge(&of(2), "jobs").add(4000);
        table.clear_gauges_of(2);
        assert_eq!((parts[0].get(), gauge(&table, "jobs").get()), (21, 0));
        table.clear_gauges_of(3);
        parts[2].add(-300);
        assert_eq!(parts[1].get(), -279, "another process has its cells");
    }

    #[test]
    fn there_is_an_end_to_names() {
        let table = SharedTable::local(1, [1; 16]);
        for number in 0..table::GAUGES {
            gauge(&table, &number.to_string());
        }
        assert_eq!(Gauge::new(table.clone(), "another").err(), Some(TooManyGauges));
        assert!(Gauge::new(table, "0").is_ok());
    }
}
