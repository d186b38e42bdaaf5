//! What a client sends on one connection, and when: decided by its random numbers alone.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use multi_node_it::execution_log;

/// The most pieces of a connection's bytes, about.
const MOST_PIECES: usize = 200;

/// A request, and what must come back.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) is_post: bool,
    pub(super) is_head: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) answer: String,
}

/// One thing that a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes these of all requests' bytes.
    Write(Range<usize>),
    Pause(Duration),
    /// Waits until this number of requests has been answered.
    Await(usize),
    /// Shuts down its writing side.
    End,
}

/// What happens on one connection.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) requests: Vec<Request>,
    pub(super) steps: Vec<Step>,
}

/// How a connection is used.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// All requests without waiting for an answer.
    Pipelined,
    /// One after the other.
    Polite,
    Mixed,
}

impl Request {
    pub(super) fn random(id: u64, rng: &mut Rng) -> Request {
        let method = *rng.choice(&["GET", "HEAD", "POST", "POST", "POST", "POST"]).expect("there are some");
        let body = if method == "POST" { body(rng) } else { Vec::new() };
        let slow = if rng.u8(..) < 20 { rng.u64(1..150) } else { 0 };
        let pieces = if rng.bool() { 0 } else { rng.usize(1..6) };
        let mut bytes = format!("{method} /execute/{id}/{slow}/{pieces} HTTP/1.1\r\nHost: fuzz\r\n").into_bytes();
        bytes.extend(headers(rng));
        match (method, rng.bool()) {
            ("POST", true) => counted(&mut bytes, &body),
            ("POST", false) => chunked(&mut bytes, &body, rng),
            _ => bytes.extend(b"\r\n"),
        }
        let (is_post, is_head, answer) = (method == "POST", method == "HEAD", execution_log::answer(id, &body));
        Request { id, is_post, is_head, bytes, answer }
    }
}

fn body(rng: &mut Rng) -> Vec<u8> {
    let longest = *rng.choice(&[1, 2, 64, 64, 2000, 40_000]).expect("there are some");
    let length = rng.usize(..longest);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// None or several, some of them longer than what is read at once.
fn headers(rng: &mut Rng) -> Vec<u8> {
    let count = if rng.bool() { 0 } else { rng.usize(..6) };
    let header = |n| {
        let longest = *rng.choice(&[1, 20, 20, 4000]).expect("there are some");
        format!("x-{n}: {}\r\n", "v".repeat(rng.usize(..longest)))
    };
    (0..count).map(header).collect::<String>().into_bytes()
}

fn counted(bytes: &mut Vec<u8>, body: &[u8]) {
    bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend(body);
}

fn chunked(bytes: &mut Vec<u8>, body: &[u8], rng: &mut Rng) {
    bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(rng.usize(1..=rest.len()));
        let extension = if rng.u8(..) < 30 { ";a=\"b\"" } else { "" };
        bytes.extend(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
        rest = more;
    }
    let trailer = if rng.u8(..) < 30 { "x-end: t\r\n" } else { "" };
    bytes.extend(format!("0\r\n{trailer}\r\n").as_bytes());
}

impl Script {
    /// These requests on one connection.
    pub(super) fn random(requests: Vec<Request>, rng: &mut Rng) -> Script {
        let ends: Vec<usize> = requests
            .iter()
            .scan(0, |end, request| {
                *end += request.bytes.len();
                Some(*end)
            })
            .collect();
        let style = *rng.choice(&[Style::Pipelined, Style::Polite, Style::Mixed]).expect("there are some");
        let steps = steps(&ends, style, rng);
        Script { requests, steps }
    }

    /// All that is written, from end to end.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.requests.iter().flat_map(|request| request.bytes.clone()).collect()
    }

    /// How many requests are begun by the first bytes.
    pub(super) fn begun_by(&self, bytes: usize) -> usize {
        let mut end = 0;
        let begins = |request: &&Request| {
            let begins = end < bytes;
            end += request.bytes.len();
            begins
        };
        self.requests.iter().take_while(begins).count()
    }
}

/// `ends`: where each request ends.
fn steps(ends: &[usize], style: Style, rng: &mut Rng) -> Vec<Step> {
    let total = ends.last().copied().unwrap_or(0);
    let longest = (*rng.choice(&[4, 64, 2000, usize::MAX]).expect("there are some")).max(total / MOST_PIECES + 1);
    let (mut steps, mut at) = (Vec::new(), 0);
    while at < total {
        let next = ends.iter().position(|end| *end > at).expect("it is not at the end");
        // Pipelined requests share their pieces.
        let room = if style == Style::Pipelined { total } else { ends[next] } - at;
        let length = rng.usize(1..=room.min(longest));
        steps.push(Step::Write(at..at + length));
        at += length;
        steps.extend(pause(rng, at == ends[next]));
        let waits = style == Style::Polite || style == Style::Mixed && rng.bool();
        if at == ends[next] && waits {
            steps.extend([Step::Await(next + 1), Step::Pause(idle(rng))]);
        }
    }
    if rng.u8(..) < 100 {
        steps.push(Step::End);
    }
    steps
}

/// Within a request they are short, and seldom.
fn pause(rng: &mut Rng, between_requests: bool) -> Option<Step> {
    let longest = match rng.u8(..) {
        0..50 => 3,
        50..60 => 40,
        60..90 if between_requests => 100,
        _ => return None,
    };
    Some(Step::Pause(Duration::from_millis(rng.u64(..longest))))
}

/// Between an answer and the next request.
fn idle(rng: &mut Rng) -> Duration {
    let longest = *rng.choice(&[1, 1, 20, 20, 300, 2000]).expect("there are some");
    Duration::from_millis(rng.u64(..longest))
}
