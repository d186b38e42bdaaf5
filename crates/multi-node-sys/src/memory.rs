//! Bytes that are passed as a file which has no name (memfd_create(2)).

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};

/// A file in memory with these bytes.
pub fn file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("multi-node-state", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// What such a file holds, of which no more than `most` bytes are read.
pub fn read(file: OwnedFd, most: u64) -> io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (File::from(file), Vec::new());
    // The position is that of the writer, who shares the open file.
    file.rewind()?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
