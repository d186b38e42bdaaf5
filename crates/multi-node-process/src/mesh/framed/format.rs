//! What a frame looks like, apart from where its bytes come from.

use std::ops::Range;

use bytes::{Buf, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use super::FrameError;

/// A layout of frames and the encoding of the messages in them: [`MessagePack`](super::MessagePack) or
/// [`Json`](super::Json). Sealed: there are no others.
pub trait Format: sealed::Sealed {
    /// Finds the frame that begins at the buffer's first byte; `None` while it is unfinished.
    ///
    /// `scanned` is zero for a frame that is looked at for the first time. The format may leave in it how far it has
    /// looked, so that a large frame that comes in small pieces is not searched from its start each time.
    #[doc(hidden)]
    fn find(buffer: &[u8], limit: usize, scanned: &mut usize) -> Result<Option<Found>, FrameError>;

    /// The message in a frame's body.
    #[doc(hidden)]
    fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError>;

    /// Appends a whole frame. After an error the caller cuts off what was appended.
    #[doc(hidden)]
    fn append<T: Serialize + ?Sized>(message: &T, limit: usize, buffer: &mut Vec<u8>) -> Result<(), FrameError>;
}

/// Where a whole frame lies in a buffer that begins with it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Found {
    /// The encoded message.
    pub body: Range<usize>,
    /// The first byte after the frame.
    pub end: usize,
}

/// Takes one message off the front of `buffer`; `None` while its frame is unfinished.
///
/// This is all that stands between bytes from another process and a message: pure, and never panicking, whatever the
/// bytes are. After [`FrameError::Undecodable`] the frame is gone and the next one can be taken. After any other error
/// the buffer is as it was, and of no further use. `scanned` belongs to the buffer and starts at zero.
pub fn decode_step<F: Format, T: DeserializeOwned>(
    buffer: &mut BytesMut,
    limit: usize,
    scanned: &mut usize,
) -> Result<Option<T>, FrameError> {
    let Some(found) = F::find(buffer, limit, scanned)? else {
        return Ok(None);
    };
    let decoded = F::decode(&buffer[found.body]);
    buffer.advance(found.end);
    *scanned = 0;
    decoded.map(Some)
}

/// Appends one message's frame to `buffer`, or nothing at all.
pub(super) fn encode_step<F: Format, T: Serialize + ?Sized>(
    message: &T,
    limit: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = buffer.len();
    let appended = F::append(message, limit, buffer);
    if appended.is_err() {
        buffer.truncate(start);
    }
    appended
}

pub(super) mod sealed {
    pub trait Sealed {}
}
