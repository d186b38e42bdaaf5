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
    /// What came is not the answer to the request.
    Wrong,
}

impl How {
    /// All of them, in the order of tables.
    pub const ALL: [How; 6] = [How::Refused, How::Reset, How::Closed, How::Truncated, How::TimedOut, How::Wrong];

    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            How::Refused => "refused",
            How::Reset => "reset",
            How::Closed => "closed",
            How::Truncated => "truncated",
            How::TimedOut => "timed out",
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

    /// The connection has ended by this error, after so many bytes of the answer.
    pub(super) fn ended_by(error: &io::Error, answered: usize) -> Failure {
        let how = if answered > 0 { How::Truncated } else { How::Reset };
        Failure::new(how, format_args!("{error}, after {answered} bytes of the answer"))
    }

    /// The connection has ended in good order, after so many bytes of the answer.
    pub(super) fn ended(answered: usize) -> Failure {
        let how = if answered > 0 { How::Truncated } else { How::Closed };
        Failure::new(how, format_args!("the connection ended after {answered} bytes of the answer"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.how.name(), self.detail)
    }
}
