//! The table in which limits count: made anew, or left by another program.

use std::os::fd::OwnedFd;

use multi_node_limits::{SharedTable, Size};

use crate::{Error, sys};

/// A new table of this size, and its file.
pub(super) fn make(size: Size) -> Result<(SharedTable, OwnedFd), Error> {
    let made = sys::random::bytes().and_then(|secret| SharedTable::create(size, secret));
    made.map_err(Error::io("make the table of limits"))
}

/// The table that another program has left, unless this one's has another layout or number of keys, or is for more processes.
pub(super) fn go_on_counting(left: Option<OwnedFd>, size: Size) -> Result<(SharedTable, OwnedFd), Error> {
    let left = left.and_then(|file| Some((SharedTable::open(&file).ok()?, file)));
    match left.filter(|(table, _)| table.size().keys == size.keys && table.size().processes >= size.processes) {
        Some(left) => Ok(left),
        None => {
            crate::log::info!("limits count from 0: the program before left no table of this layout and size");
            make(size)
        }
    }
}
