//! What a gateway goes by.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The settings of a gateway, as they were encoded for it: the master passes them on and knows nothing of them. They may hold a password, so they
/// are never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GatewaySettings(Bytes);

impl GatewaySettings {
    /// These.
    pub fn new(bytes: impl Into<Bytes>) -> GatewaySettings {
        GatewaySettings(bytes.into())
    }

    /// As they were encoded; nothing from a master that has none.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for GatewaySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewaySettings(secret)")
    }
}
