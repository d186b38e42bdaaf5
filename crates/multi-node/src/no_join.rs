//! Without the feature `nats`: there is nothing to join.

use std::convert::Infallible;
use std::fmt;

/// There is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Join {}

impl Join {
    /// Never fails.
    pub(crate) fn check(&self) -> Result<(), Infallible> {
        match *self {}
    }
}

impl Join {
    /// There is none.
    pub(crate) fn allows_remote_commands(&self) -> bool {
        match *self {}
    }
}

impl fmt::Display for Join {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
