//! One link to one peer: a Unix stream socket with a task that reads, a task that writes, and the queue between publishers and
//! the writer.

mod error;
mod outbox;
mod reader;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

pub use error::LinkError;
pub(crate) use outbox::{NotSent, Outbox};
pub(crate) use reader::{Inbound, Relief, read};
#[cfg(unix)]
pub(crate) use stream::halves;
pub(crate) use stream::{ReadHalf, WriteHalf};
pub(crate) use writer::write;
