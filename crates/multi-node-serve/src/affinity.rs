//! Affinity: which key a request has, and which slot answers the requests of a key. Heads come from clients: all of them is hostile.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::conn_info::ConnInfo;
use super::socket::Addr;

/// How many bytes of a head are looked at. A key that stands behind them is none.
pub(super) const LOOKED_AT: usize = 16 * 1024;

/// How many lines of a head are looked at; hyper allows 100 headers.
const LINES: usize = 128;

/// How many bytes are compared at once.
const CHUNK: usize = 16;

/// The longest name of a cookie, a query parameter or a header.
const LONGEST_NAME: usize = 128;

/// By what the requests of one client are recognized, so that one node answers all of them; see `Options::affinity`.
///
/// A value decides as it is written in the request, without any decoding. Where it stands several times, the first counts. A request
/// without a value, or with an empty one, has no key: it is answered where it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Cookie(String),
    Query(String),
    Header(String),
    ClientAddress,
}

impl Affinity {
    /// By the value of this cookie. Its name is case-sensitive.
    pub fn cookie(name: impl Into<String>) -> Affinity {
        Affinity(Rule::Cookie(name.into()))
    }

    /// By the value of this parameter in the query of the request's target, such as `sid` in `/socket.io/?sid=4711`.
    pub fn query(name: impl Into<String>) -> Affinity {
        Affinity(Rule::Query(name.into()))
    }

    /// By the value of this header, whatever the case of its name.
    pub fn header(name: impl Into<String>) -> Affinity {
        Affinity(Rule::Header(name.into()))
    }

    /// By the client's IP address; behind a proxy that is the client's only with the PROXY protocol. Clients of Unix sockets have none.
    pub fn client_address() -> Affinity {
        Affinity(Rule::ClientAddress)
    }

    /// What is wrong with it.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), &'static str> {
        match &self.0 {
            Rule::ClientAddress => Ok(()),
            Rule::Cookie(name) | Rule::Header(name) if is_token(name) => Ok(()),
            Rule::Query(name) if is_parameter(name) => Ok(()),
            Rule::Cookie(_) | Rule::Header(_) => Err("expected a name of 1 to 128 letters, digits and !#$%&'*+-.^_`|~"),
            Rule::Query(_) => Err("expected a name of 1 to 128 visible ASCII characters without &, = and #"),
        }
    }

    pub(super) fn is_by_address(&self) -> bool {
        self.0 == Rule::ClientAddress
    }

    /// The key of all requests of a connection, before any has come; `None`: each has its own.
    pub(super) fn key_of_conn(&self, info: &ConnInfo) -> Option<Key> {
        self.is_by_address().then(|| of_address(info.peer))
    }

    /// The key of the request that begins with these bytes.
    pub(super) fn key(&self, head: &[u8], info: &ConnInfo) -> Key {
        match &self.0 {
            Rule::ClientAddress if head.is_empty() => Key::Unknown,
            Rule::ClientAddress => of_address(info.peer),
            Rule::Query(name) => of_lines(head, |first, line| first.then(|| parameter(line, name))),
            Rule::Cookie(name) => {
                of_lines(head, |first, line| (!first).then(|| cookie(line, name)).flatten().map(Some))
            }
            Rule::Header(name) => {
                of_lines(head, |first, line| (!first).then(|| header(line, name)).flatten().map(Some))
            }
        }
    }
}

/// `cookie=NAME`, `query=NAME`, `header=NAME` or `client-address`.
impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Cookie(name) => write!(f, "cookie={name}"),
            Rule::Query(name) => write!(f, "query={name}"),
            Rule::Header(name) => write!(f, "header={name}"),
            Rule::ClientAddress => f.write_str("client-address"),
        }
    }
}

/// As it is shown. The error says what is expected.
impl FromStr for Affinity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Affinity, &'static str> {
        let affinity = match text.split_once('=') {
            None if text == "client-address" => Affinity::client_address(),
            Some(("cookie", name)) => Affinity::cookie(name),
            Some(("query", name)) => Affinity::query(name),
            Some(("header", name)) => Affinity::header(name),
            _ => return Err("expected cookie=NAME, query=NAME, header=NAME or client-address"),
        };
        affinity.check().map(|()| affinity)
    }
}

/// What the first bytes of a request tell of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The hash of the value by which the request is recognized.
    Is(u64),
    /// The request has no key.
    None,
    /// More bytes are needed.
    Unknown,
}

/// The slot that answers the requests of a key: the one with the highest weight (rendezvous hashing). Each process computes the same, and
/// a slot that comes or goes changes the slot of its own share of keys alone. `None` where there are no slots.
pub fn slot_of(key: u64, slots: usize) -> Option<usize> {
    (0..slots).max_by_key(|slot| mix(key ^ mix(*slot as u64)))
}

/// The hash of a value: FNV-1a, and what makes all its bits depend on all others. It is the same in every release, since old and new
/// nodes answer beside each other in a reload.
pub(super) fn hash(value: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(value.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The finalizer of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn of_address(peer: Addr) -> Key {
    match peer.tcp().map(|address| address.ip().to_canonical()) {
        Some(IpAddr::V4(ip)) => Key::Is(hash(&ip.octets())),
        Some(IpAddr::V6(ip)) => Key::Is(hash(&ip.octets())),
        None => Key::None,
    }
}

/// Asks for a value line by line, and whether the line is the first one, until there is an answer or the head ends.
fn of_lines<'a>(head: &'a [u8], ask: impl Fn(bool, &'a [u8]) -> Option<Option<&'a [u8]>>) -> Key {
    let looked_at = &head[..head.len().min(LOOKED_AT)];
    let mut lines = parts(looked_at, b'\n').skip_while(|line| is_end(line)).peekable();
    if lines.peek().is_some_and(|line| !is_token_byte(&line[0]) && line[0] != b'\r') {
        // Not HTTP, such as TLS.
        return Key::None;
    }
    let mut first = true;
    for line in lines.by_ref().take(LINES) {
        let Some(line) = line.strip_suffix(b"\n") else { return unless_full(head) };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Key::None;
        }
        if let Some(value) = ask(first, line) {
            return value.filter(|value| !value.is_empty()).map_or(Key::None, |value| Key::Is(hash(value)));
        }
        first = false;
    }
    if lines.peek().is_some() { Key::None } else { unless_full(head) }
}

/// The parts of the bytes, each with the separator that ends it; the last one may have none.
fn parts(mut bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (part, rest) = bytes.split_at(position(bytes, separator).map_or(bytes.len(), |at| at + 1));
        bytes = rest;
        Some(part).filter(|part| !part.is_empty())
    })
}

/// Where the byte first is. The compiler makes vector instructions of the look at a chunk, since that does not end early.
fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    let is_in = |chunk: &&[u8]| chunk.iter().fold(false, |found, byte| found | (*byte == wanted));
    let skipped = CHUNK * bytes.chunks(CHUNK).take_while(|chunk| !is_in(chunk)).count();
    let at = bytes.get(skipped..)?.iter().position(|byte| *byte == wanted)?;
    Some(skipped + at)
}

/// Whether the line ends a head, or comes before one, where it means nothing (RFC 9112, section 2.2).
fn is_end(line: &[u8]) -> bool {
    line == b"\r\n" || line == b"\n"
}

/// What an incomplete head says.
fn unless_full(head: &[u8]) -> Key {
    if head.len() < LOOKED_AT { Key::Unknown } else { Key::None }
}

/// The value of a parameter in a request line.
fn parameter<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let target = line.split(|byte| *byte == b' ').nth(1)?;
    let query = target.splitn(2, |byte| *byte == b'?').nth(1)?;
    let query = query.split(|byte| *byte == b'#').next()?;
    query.split(|byte| *byte == b'&').find_map(|pair| value(pair, name))
}

/// The value of a cookie in a line of a head.
fn cookie<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let cookies = header(line, "cookie")?;
    parts(cookies, b';').find_map(|pair| value(pair.strip_suffix(b";").unwrap_or(pair).trim_ascii(), name))
}

/// The value of a header in a line of a head.
fn header<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (named, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    named.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
}

fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// Whether it is a name as headers and cookies have them (RFC 9110, section 5.6.2).
fn is_token(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.as_bytes().iter().all(is_token_byte)
}

fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn is_parameter(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"&=#".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_allowed)
}

#[cfg(test)]
#[path = "affinity_tests.rs"]
mod tests;
