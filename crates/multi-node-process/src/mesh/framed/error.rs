//! Every way in which a framed stream can fail.

use std::io;

/// What serde, or the format below it, said.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a message could not be sent or received.
///
/// [`ends_stream`](FrameError::ends_stream) separates errors that end the stream from those that cost one message only. An
/// error of a sender never ends the stream, unless it is the transport's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The transport failed.
    #[error("the stream failed: {0}")]
    Io(#[from] io::Error),
    /// A message is larger than this side allows. A sender has sent nothing of it and may continue; a receiver has lost its
    /// position, since it refuses to read to the frame's end.
    #[error("a message of at least {size} bytes is over the limit of {limit} bytes")]
    Oversize {
        /// Bytes of the encoded message, as far as they are known.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended inside a frame: the other side died or was cut off while it wrote.
    #[error("the stream ended inside a frame, after {received} bytes of it")]
    Truncated {
        /// Bytes of the unfinished frame that had come.
        received: usize,
    },
    /// What arrived is no frame of this format: the other side speaks another language.
    #[error("expected {expected}, but the stream goes on with {seen}")]
    Foreign {
        /// How a frame begins.
        expected: &'static str,
        /// The first bytes seen in its place, in hexadecimal.
        seen: String,
    },
    /// A frame of this format, but of another version of its layout.
    #[error("a frame of version {seen} arrived; this side reads version {known}")]
    Version {
        /// The version that the frame carries.
        seen: u8,
        /// The version that this side reads.
        known: u8,
    },
    /// A whole frame arrived that holds no message of the expected type. The frame is skipped, and the next one can be
    /// read.
    #[error("a message could not be decoded: {0}")]
    Undecodable(#[source] Cause),
    /// The message's own `Serialize` refused, or the format cannot express it. Nothing of it was sent.
    #[error("a message could not be encoded: {0}")]
    Unencodable(#[source] Cause),
}

impl FrameError {
    /// Whether a receiver that met this error has come to the end of what it can read.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        !matches!(self, FrameError::Undecodable(_) | FrameError::Unencodable(_))
    }

    pub(super) fn foreign(expected: &'static str, seen: &[u8]) -> FrameError {
        const SHOWN: usize = 8;
        let bytes: Vec<String> = seen.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
        FrameError::Foreign { expected, seen: bytes.join(" ") }
    }
}
