//! Names of topics and handlers.

/// The longest name of a topic or handler, in bytes.
pub const MOST_NAME: usize = 255;

/// Whether a topic or a handler may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
}
