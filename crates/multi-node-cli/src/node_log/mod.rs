//! What nodes write, line by line, to this command's own standard output and error and to the log that the control socket shows.

mod collect;
mod format;
mod lines;
mod writer;

pub(crate) use collect::{Collector, Manner, queue};
pub(crate) use format::Format;
use format::Origin;
