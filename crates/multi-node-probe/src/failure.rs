//! The ways in which a request may be lost.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// How a request was lost, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// No connection came about.
    Refused,
    /// The connection was reset before the first byte of the answer.
    Reset,
    /// The connection ended in good order before the first byte of the answer.
    Closed,
    /// The connection ended within the answer.
    Truncated,
    /// No whole answer came in time.
    TimedOut,
    /// A whole answer came, with a status that was not wanted.
    WrongStatus,
    /// What came is not the answer to the request, or no answer at all.
    Wrong,
}

impl How {
    /// All of them, in the order of tables.
    pub const ALL: [How; 7] =
        [How::Refused, How::Reset, How::Closed, How::Truncated, How::TimedOut, How::WrongStatus, How::Wrong];

    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            How::Refused => "refused",
            How::Reset => "reset",
            How::Closed => "closed",
            How::Truncated => "truncated",
            How::TimedOut => "timed out",
            How::WrongStatus => "wrong status",
            How::Wrong => "wrong",
        }
    }
}

/// A lost request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub how: How,
    /// The error, or what was wrong.
    pub detail: String,
}

impl Failure {
    pub fn new(how: How, detail: impl fmt::Display) -> Failure {
        Failure { how, detail: detail.to_string() }
    }

    /// The connection has ended by this error, after this number of bytes of the answer.
    pub(crate) fn ended_by(error: &io::Error, answered: usize) -> Failure {
        let how = match (answered, error.kind()) {
            // A TLS connection that ends without a farewell (RFC 8446, section 6.1).
            (0, io::ErrorKind::UnexpectedEof) => How::Closed,
            (0, _) => How::Reset,
            _ => How::Truncated,
        };
        Failure::new(how, format_args!("{}, after {answered} bytes of the answer", words(error)))
    }

    /// The connection has closed in good order, after this number of bytes of the answer.
    pub(crate) fn ended(answered: usize) -> Failure {
        let how = if answered > 0 { How::Truncated } else { How::Closed };
        Failure::new(how, format_args!("the connection ended after {answered} bytes of the answer"))
    }
}

/// The system's words, without the number that Rust adds.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.how.name(), self.detail)
    }
}
