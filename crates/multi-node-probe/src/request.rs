//! What clients send, and which answer it must have. Pure.

use std::{fmt, ops::RangeInclusive, time::Duration};

use fastrand::Rng;

use crate::{
    answer::{Answer, Reading},
    failure::{Failure, How},
    kind::Kind,
};

/// Where clients get their requests from.
pub trait Requests: fmt::Debug + Send + Sync {
    /// The next request of a client of this kind, which is any but [`Kind::WebSocket`].
    fn next(&self, kind: Kind, rng: &mut Rng) -> Request;

    /// What clients of [`Kind::WebSocket`] open.
    fn websocket(&self) -> WebSocket;
}

/// A request and the answer that it must have.
#[derive(Debug, Clone)]
pub struct Request {
    /// Head and body, as they are sent.
    pub bytes: Vec<u8>,
    /// Whether its method is HEAD, so that its answer has no body.
    pub is_head: bool,
    pub expected: Expected,
    /// Between two pieces of the answer, for clients that read slowly.
    pub pause: Duration,
}

/// Which answer is the right one.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Any whole one with such a status.
    Status(RangeInclusive<u16>),
    /// One with status 200 and this body.
    Body(Vec<u8>),
}

/// A WebSocket, and how it is tried.
#[derive(Debug, Clone)]
pub struct WebSocket {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub echoes: Echoes,
}

/// What comes back on a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echoes {
    /// The pong that every server owes to a ping (RFC 6455, section 5.5.2).
    Pings,
    /// The text of every message, from a server that does so.
    Texts,
}

impl Request {
    pub(crate) fn reading(&self) -> Reading {
        let keep = match &self.expected {
            Expected::Status(_) => 0,
            Expected::Body(body) => body.len(),
        };
        Reading::new(self.is_head, keep)
    }

    pub(crate) fn check(&self, answer: &Answer) -> Result<(), Failure> {
        let wrong_status = || Err(Failure::new(How::WrongStatus, format_args!("status {}", answer.status)));
        match &self.expected {
            Expected::Status(wanted) if !wanted.contains(&answer.status) => wrong_status(),
            Expected::Status(_) => Ok(()),
            Expected::Body(_) if answer.status != 200 => wrong_status(),
            Expected::Body(body) if answer.length == body.len() as u64 && answer.body == *body => Ok(()),
            Expected::Body(_) => Err(Failure::new(How::Wrong, "the body of another answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(expected: Expected, status: u16, body: &[u8]) -> Result<(), How> {
        let request = Request { bytes: Vec::new(), is_head: false, expected, pause: Duration::ZERO };
        let answer = Answer { status, body: body.to_vec(), length: body.len() as u64, kept: true };
        request.check(&answer).map_err(|lost| lost.how)
    }

    #[test]
    fn an_answer_is_judged_by_itself() {
        let table = [(199, false), (200, true), (304, true), (399, true), (400, false), (502, false)];
        for (status, right) in table {
            let expected = if right { Ok(()) } else { Err(How::WrongStatus) };
            assert_eq!(judged(Expected::Status(200..=399), status, b"any"), expected, "{status}");
        }
    }

    #[test]
    fn the_answer_to_another_request_is_wrong() {
        let expected = || Expected::Body(b"mine".to_vec());
        assert_eq!(judged(expected(), 200, b"mine"), Ok(()));
        assert_eq!(judged(expected(), 200, b"your"), Err(How::Wrong));
        assert_eq!(judged(expected(), 200, b"min"), Err(How::Wrong));
        assert_eq!(judged(expected(), 503, b"mine"), Err(How::WrongStatus));
    }
}
