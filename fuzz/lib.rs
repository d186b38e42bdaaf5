//! The functions of the fuzz targets, for cargo-fuzz.

use multi_node::{Format, Json, MessagePack, decode_control, decode_step};

pub mod targets;
