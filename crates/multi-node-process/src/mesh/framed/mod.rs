//! Whole messages on a stream of bytes.
//!
//! Three layers, each of which knows only the one below it:
//!
//! - a [`Format`] is pure: it finds one frame in a buffer and turns it into a message, or appends a message's frame to
//!   a buffer. [`MessagePack`] is the form between nodes, [`Json`] that of the 2010 library.
//! - `Incoming` and `Outgoing` hold the two buffers and their bounds, and move bytes between them and a transport.
//! - [`Framed`] is both on one transport; [`FramedRead`] and [`FramedWrite`] are its halves.

mod duplex;
mod error;
mod format;
mod halves;
mod incoming;
mod json;
mod message_pack;
mod outgoing;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use duplex::{Framed, JsonFramed};
pub use error::FrameError;
pub use format::{Format, decode_step};
pub use halves::{FramedRead, FramedWrite};
pub use json::Json;
pub use message_pack::MessagePack;

/// The limit on one message's encoded size that every stream starts with: 16 MiB.
pub const DEFAULT_FRAME_LIMIT: usize = 16 * 1024 * 1024;

/// Bytes that one read has room for, and that a burst of messages gathers before it is written without a flush.
pub(super) const CHUNK: usize = 64 * 1024;

/// Capacity in bytes that an empty buffer may keep; what one huge message needed beyond it is given back.
pub(super) const KEEP: usize = 4 * CHUNK;
