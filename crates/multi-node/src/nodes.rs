//! What the user holds: `Handle` and `Nodes`. (being written)

/// Stub.
#[derive(Clone, Debug)]
pub struct Handle {}
