//! The functions of the fuzz targets, for cargo-fuzz.

use multi_node_process::control::decode_control;
use multi_node_process::mesh::{Format, Json, MessagePack, decode_step};

pub mod targets;
