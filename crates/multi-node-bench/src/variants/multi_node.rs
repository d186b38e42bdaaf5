//! The library itself.

use anyhow::Result;

use super::Start;

/// Serves from `start.nodes` nodes under a master.
pub(super) fn serve(start: &Start) -> Result<()> {
    anyhow::bail!("the library cannot listen yet, on port {}", start.port)
}
