//! The JavaScript that Node.js programs load.

use crate::supervisor;

/// The file that Node.js programs load before their own code, as [`Program::preload`](super::Program::preload) says.
pub fn preload() -> &'static str {
    supervisor::PRELOAD_TEXT
}
