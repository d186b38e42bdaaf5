//! Byte streams to processes of this and of other machines, made of requests: each frame is one, and its answer confirms it.
//!
//! ```text
//! table    the streams of this process, and those that ask for one      byte_stream   what the program holds
//! driver   the task of a stream                                         ask           a frame on its way
//! rules    what an end does about what happens, pure                    frame         the bytes
//! reset    why a stream has ended before its time
//! ```
//!
//! Nothing is sent twice, except what was refused and therefore not taken. So a frame whose answer does not come ends the stream, at both
//! ends: bytes are never missing without a word. A reader that is slow lets its window fill, and nothing else waits for it.

mod ask;
mod byte_stream;
mod driver;
mod frame;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod reset;
mod rules;
mod table;

pub use byte_stream::{ByteStream, IncomingStreams};
#[cfg(fuzzing)]
pub use fuzz::fuzz_stream;
pub use reset::StreamReset;
pub(crate) use table::Streams;
