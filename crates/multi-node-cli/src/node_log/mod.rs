//! What nodes write, line by line, to this command's own standard output and error.

mod collect;
mod format;
mod lines;
mod writer;

pub(crate) use collect::{Collector, Manner};
pub(crate) use format::Format;
use format::Origin;
