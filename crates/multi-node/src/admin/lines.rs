//! Lines of limited length on a stream.

use std::io;

use bytes::{Buf, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads lines of at most `longest` bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    stream: R,
    buffer: BytesMut,
    longest: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(stream: R, longest: usize) -> Lines<R> {
        Lines { stream, buffer: BytesMut::new(), longest }
    }

    /// The next line, without its end; `None` at the end of the stream, where half a line is none. Cancel-safe.
    ///
    /// # Errors
    /// `InvalidData` for a line that is too long, after which none can be read.
    pub(super) async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.filter(|end| *end <= self.longest) {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Ok(Some(line));
            }
            if self.buffer.len() > self.longest {
                let why = format!("a line is longer than {} bytes", self.longest);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Writes a value as one line of JSON. Not cancel-safe.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_arrive() {
        let (mut far, near) = tokio::io::duplex(4);
        let writing = tokio::spawn(async move { far.write_all(b"one\n\ntwo three\nhalf").await });
        let mut lines = Lines::new(near, 16);
        for expected in ["one", "", "two three"] {
            assert_eq!(lines.next().await.expect("readable").as_deref(), Some(expected.as_bytes()));
        }
        assert_eq!(lines.next().await.expect("readable"), None);
        writing.await.expect("no panic").expect("written");
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_refused_although_its_end_came_with_it() {
        for (length, refused) in [(15, false), (16, false), (17, true)] {
            let text = format!("{}\nnext\n", "x".repeat(length));
            let mut lines = Lines::new(text.as_bytes(), 16);
            assert_eq!(lines.next().await.is_err(), refused, "{length}");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_early() {
        let mut lines = Lines::new(tokio::io::repeat(b'x'), 100);
        assert_eq!(lines.next().await.expect_err("too long").kind(), io::ErrorKind::InvalidData);
        assert!(lines.buffer.len() < 64 * 1024);
    }
}
