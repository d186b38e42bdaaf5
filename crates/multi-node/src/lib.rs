//! multi-node: one server program, run as several processes that serve one address.

// While the rooms are being filled.
#![allow(dead_code, unused_imports)]

#[cfg(multi_process)]
mod control;
mod error;
mod id;
mod mesh;
mod nodes;
mod options;
mod order;
mod serve;
mod status;
#[cfg(multi_process)]
mod supervisor;
#[cfg(multi_process)]
mod sys;

pub use error::Error;
pub use id::{Generation, NodeId, Slot};
pub use mesh::{
    DEFAULT_FRAME_LIMIT, Format, FrameError, Framed, FramedRead, FramedWrite, Json, JsonFramed, MessagePack,
};
pub use nodes::Handle;

// The entry of the fuzz targets.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use mesh::decode_step;
pub use order::{OrderError, ReloadReport, ScaleReport, SlotReload};
pub use status::{Exit, SlotStatus, State, Status};
