//! The JavaScript that Node.js programs load.

/// The file that Node.js programs load before their own code, as [`Program::preload`](super::Program::preload) says.
pub fn preload() -> &'static str {
    include_str!("preload.js")
}
