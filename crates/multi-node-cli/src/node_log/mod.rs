//! What nodes write, line by line, to this command's own standard output and error and to the log that the control socket shows;
//! and this command's own log.

mod collect;
mod format;
mod lines;
mod own;
mod writer;

pub(crate) use collect::{Collector, Manner, finish, queue};
pub(crate) use format::Format;
use format::Origin;
pub(crate) use own::OwnLog;
pub(crate) use writer::Writer;
