//! Without the feature `join`: there is no gateway.

use multi_node_supervisor::GatewayPlan;

use crate::Error;
use crate::options::Settings;

/// There is none.
pub(crate) fn plan(_: &Settings) -> Option<GatewayPlan> {
    None
}

/// Nothing can be wrong.
#[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
pub(crate) fn check(_: &Settings) -> Result<(), Error> {
    Ok(())
}
