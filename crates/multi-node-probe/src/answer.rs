//! What bytes are an answer (RFC 9112). Pure.

use httparse::{EMPTY_HEADER, Header, Status, parse_chunk_size, parse_headers};

use crate::failure::{Failure, How};

/// The most headers, and trailers, that an answer may have.
const MOST_HEADERS: usize = 128;
/// The most bytes of a head, and of trailers.
const LONGEST_HEAD: usize = 64 << 10;
/// The most bytes of the line in front of a chunk.
const LONGEST_LINE: usize = 4 << 10;

/// A whole answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The beginning of the body, as far as it was to be kept.
    pub body: Vec<u8>,
    /// Bytes of the whole body.
    pub length: u64,
    /// Whether the server leaves the connection open.
    pub kept: bool,
}

/// An answer while it comes, piece by piece.
#[derive(Debug)]
pub struct Reading {
    /// Whether the request was a HEAD, whose answer has no body.
    to_head: bool,
    /// The most bytes of the body that are kept.
    keep: usize,
    state: State,
    /// What has come and is not used up yet.
    pending: Vec<u8>,
    /// Bytes of the answer so far, without interim answers.
    received: usize,
    answer: Answer,
}

/// Named by what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// The bytes that are left of a body with a `content-length`.
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// A body that lasts until the connection ends.
    UntilEnd,
    Nothing,
}

impl Reading {
    pub fn new(to_head: bool, keep: usize) -> Reading {
        let (pending, answer) = (Vec::new(), Answer::default());
        Reading { to_head, keep, state: State::Head, pending, received: 0, answer }
    }

    /// Takes the next bytes; gives the answer once it is whole. Bytes behind it are an error: only one was asked for.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Failure> {
        let answer = self.take_one(bytes)?;
        match (&answer, self.pending.len()) {
            (None, _) | (Some(_), 0) => Ok(answer),
            (Some(_), more) => Err(Failure::new(How::Wrong, format_args!("{more} bytes after the answer"))),
        }
    }

    /// Takes the next bytes; gives the answer once it is whole, whatever follows it.
    ///
    /// # Errors
    /// [`How::Wrong`] where they are no answer.
    pub fn take_one(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Failure> {
        self.received += bytes.len();
        self.pending.extend_from_slice(bytes);
        while self.step().map_err(|what| Failure::new(How::Wrong, what))? {}
        Ok((self.state == State::Nothing).then(|| std::mem::take(&mut self.answer)))
    }

    /// For the next answer on the connection, with what came behind this one.
    #[must_use]
    pub fn next(self, to_head: bool, keep: usize) -> Reading {
        Reading { received: self.pending.len(), pending: self.pending, ..Reading::new(to_head, keep) }
    }

    /// The connection has ended in good order.
    ///
    /// # Errors
    /// [`How::Closed`] before the first byte of the answer, [`How::Truncated`] within it.
    pub fn end(self) -> Result<Answer, Failure> {
        match self.state {
            State::UntilEnd => Ok(self.answer),
            _ => Err(Failure::ended(self.received)),
        }
    }

    /// Bytes of the answer so far.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Uses up what it can of the pending bytes; returns whether something else comes next.
    fn step(&mut self) -> Result<bool, String> {
        match self.state {
            State::Head => self.head(),
            State::Body(left) => Ok(self.body(left, State::Body, State::Nothing)),
            State::Chunk(left) => Ok(self.body(left, State::Chunk, State::ChunkEnd)),
            State::ChunkSize => self.chunk_size(),
            State::ChunkEnd => self.chunk_end(),
            State::Trailers => self.trailers(),
            State::UntilEnd => Ok(self.body(u64::MAX, |_| State::UntilEnd, State::UntilEnd)),
            State::Nothing => Ok(false),
        }
    }

    fn head(&mut self) -> Result<bool, String> {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(&self.pending).map_err(|error| format!("not an HTTP/1.1 answer: {error}"))?;
        let Status::Complete(length) = parsed else { return self.wait(LONGEST_HEAD, "a head") };
        if length > LONGEST_HEAD {
            return Err(too_long(LONGEST_HEAD, "a head"));
        }
        let status = head.code.unwrap_or_default();
        if is_interim(status) {
            self.received = self.pending.len() - length;
        } else {
            self.answer.status = status;
            self.answer.kept = is_kept(head.version, head.headers);
            self.state = self.what_follows(status, head.headers)?;
            self.answer.kept &= self.state != State::UntilEnd;
        }
        self.pending.drain(..length);
        Ok(true)
    }

    /// What follows the head (RFC 9112, section 6.3).
    fn what_follows(&self, status: u16, headers: &[Header<'_>]) -> Result<State, String> {
        if self.to_head || status < 200 || matches!(status, 204 | 304) {
            return Ok(State::Nothing);
        }
        if let Some(coding) = tokens(headers, "transfer-encoding").last() {
            return Ok(if coding.eq_ignore_ascii_case("chunked") { State::ChunkSize } else { State::UntilEnd });
        }
        match content_length(headers)? {
            Some(0) => Ok(State::Nothing),
            Some(length) => Ok(State::Body(length)),
            None => Ok(State::UntilEnd),
        }
    }

    fn body(&mut self, left: u64, more: fn(u64) -> State, then: State) -> bool {
        let count = left.min(self.pending.len() as u64);
        // No more than is pending, so it is within `usize`.
        let piece = self.pending.drain(..count as usize);
        let room = self.keep.saturating_sub(self.answer.body.len());
        self.answer.body.extend(piece.take(room));
        self.answer.length += count;
        self.state = if count == left { then } else { more(left - count) };
        count == left
    }

    fn chunk_size(&mut self) -> Result<bool, String> {
        let parsed = parse_chunk_size(&self.pending).map_err(|_| "a chunk without a size")?;
        let Status::Complete((line, size)) = parsed else { return self.wait(LONGEST_LINE, "the size of a chunk") };
        self.pending.drain(..line);
        self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
        Ok(true)
    }

    fn chunk_end(&mut self) -> Result<bool, String> {
        let seen = &self.pending[..self.pending.len().min(2)];
        if !b"\r\n".starts_with(seen) {
            return Err("a chunk that does not end where its size says".to_owned());
        }
        if seen.len() < 2 {
            return Ok(false);
        }
        self.pending.drain(..2);
        self.state = State::ChunkSize;
        Ok(true)
    }

    fn trailers(&mut self) -> Result<bool, String> {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let parsed = parse_headers(&self.pending, &mut headers).map_err(|error| format!("trailers: {error}"))?;
        let Status::Complete((length, _)) = parsed else { return self.wait(LONGEST_HEAD, "trailers") };
        self.pending.drain(..length);
        self.state = State::Nothing;
        Ok(true)
    }

    /// More bytes are needed, unless there are too many already.
    fn wait(&self, longest: usize, what: &str) -> Result<bool, String> {
        if self.pending.len() > longest { Err(too_long(longest, what)) } else { Ok(false) }
    }
}

fn too_long(longest: usize, what: &str) -> String {
    format!("{what} of more than {longest} bytes")
}

/// Whether the answer itself is yet to come. After 101 comes another protocol, which the probe never asks for.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

fn is_kept(version: Option<u8>, headers: &[Header<'_>]) -> bool {
    let says = |option: &str| tokens(headers, "connection").any(|token| token.eq_ignore_ascii_case(option));
    if version == Some(1) { !says("close") } else { says("keep-alive") }
}

fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| std::str::from_utf8(header.value).unwrap_or_default())
}

/// The elements of a header that is a list.
fn tokens<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    values(headers, name).flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// The one length that is stated, be it several times.
fn content_length(headers: &[Header<'_>]) -> Result<Option<u64>, String> {
    let mut stated = None;
    for value in values(headers, "content-length").flat_map(|value| value.split(',')).map(str::trim) {
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let length = value.parse().ok().filter(|_| digits).ok_or_else(|| format!("content-length {value:?}"))?;
        if stated.is_some_and(|other| other != length) {
            return Err("two different values of content-length".to_owned());
        }
        stated = Some(length);
    }
    Ok(stated)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
