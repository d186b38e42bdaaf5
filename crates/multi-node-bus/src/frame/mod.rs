//! The bytes of a link: frames with a header of 18 bytes, little endian, and what stands in their bodies.
//!
//! ```text
//! len u32 | kind u8 | flags u8 | channel u32 | seq u64 | body of len bytes
//! ```
//!
//! A reader skips kinds that it doesn't know, so that old and new programs understand each other during a reload. It ignores flags that it
//! doesn't know, so another form of a body is another kind.

mod body;
mod code;
mod hello;
mod remote;
#[cfg(test)]
mod tests;

pub(crate) use body::{Needs, Truncated, decode_item, decode_needs, decode_request, encode_item, encode_needs};
pub(crate) use body::{decode_failure, encode_failure, encode_request_head};
pub use code::FrameError;
pub(crate) use code::{Frame, HEADER, Head, Kind, MOST_BESIDE_PAYLOAD, append, decode};
pub(crate) use hello::Hello;
pub use hello::HelloError;
pub(crate) use remote::{decode_remote, encode_remote};
