//! What two nodes say to each other, apart from what their programs do.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::control::{self, Fd, Versions};
use crate::serve::ConnInfo;

/// The versions of the hand-off stream that this release speaks.
const VERSIONS: Versions = Versions { lowest: 1, highest: 1 };

/// It takes connections that are offered.
const TAKES: &str = "takes_offers";

/// It answers offers of processes that compute at once, whatever its own runtime does.
const TAKES_WHEN_BUSY: &str = "takes_offers_when_busy";

/// What a side says first.
pub(super) fn hello() -> HandoffMessage {
    HandoffMessage::Hello { versions: VERSIONS, capabilities: vec![TAKES.to_owned(), TAKES_WHEN_BUSY.to_owned()] }
}

/// Whether a side that says this can be offered connections.
pub(super) fn takes_offers(versions: Versions, capabilities: &[String]) -> bool {
    VERSIONS.common(versions).is_some() && control::has_capability(capabilities, TAKES)
}

/// Whether a side that says this can be offered connections by a process that computes.
pub(super) fn takes_when_busy(capabilities: &[String]) -> bool {
    control::has_capability(capabilities, TAKES_WHEN_BUSY)
}

/// One node to another.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HandoffMessage {
    /// The first message of each side, where both begin so.
    Hello { versions: Versions, capabilities: Vec<String> },
    /// Serve this connection on; `number` is the sender's own name for it. Until the answer the sender keeps it too.
    Offer(Offer),
    /// It is served here: said before its first byte is read.
    Taken { number: u64 },
    /// It is not.
    Refused {
        number: u64,
        /// This node has begun to drain; another one may take it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        draining: bool,
    },
}

/// A connection with nothing under way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) number: u64,
    /// Which of the program's servers it belongs to.
    pub(super) server: usize,
    /// What was read of it and not answered.
    pub(super) before: Bytes,
    pub(super) info: ConnInfo,
    pub(super) socket: Fd,
    /// The receiver owns the request that `before` begins with, and answers it in any case: each request moves once at most.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) for_request: bool,
    /// A request waits on it while the sender computes. A receiver that computes too refuses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) when_busy: bool,
}
