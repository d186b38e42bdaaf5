//! Why a link ended.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::frame::{FrameError, HelloError};

/// Why a link ended.
#[derive(Clone, Debug, Error)]
pub enum LinkError {
    /// The peer closed its end.
    #[error("the peer closed the link")]
    Closed,
    /// The peer ended or closed its end within a frame.
    #[error("the peer closed the link within a frame")]
    ClosedWithinFrame,
    /// The peer's bytes are no frames of the bus.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer's first frame doesn't open a link.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The system refused to read.
    #[error("cannot read from the link: {0}")]
    Read(Arc<io::Error>),
    /// This side closed it: the peer is gone, a newer link was made, or the peer read too little to be answered.
    #[error("this process closed the link")]
    Cut,
}

impl LinkError {
    /// Whether the peer broke the protocol.
    pub fn is_bad_frame(&self) -> bool {
        matches!(self, LinkError::Frame(_) | LinkError::Hello(_))
    }
}
