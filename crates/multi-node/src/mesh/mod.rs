//! Process to process.

mod framed;

pub use framed::{
    DEFAULT_FRAME_LIMIT, Format, FrameError, Framed, FramedRead, FramedWrite, Json, JsonFramed, MessagePack,
};

#[cfg(fuzzing)]
pub use framed::decode_step;
