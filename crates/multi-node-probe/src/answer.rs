//! What bytes are an answer.

use httparse::{EMPTY_HEADER, Header, Status, parse_chunk_size};

/// More headers than any server here sends.
const MOST_HEADERS: usize = 32;

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether the server leaves the connection open.
    pub(super) kept: bool,
}

/// The answer that these bytes begin with, and its length; `None` while it is not whole.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>, String> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Status::Complete(length) = head.parse(bytes).map_err(|error| format!("no HTTP/1.1 answer: {error}"))? else {
        return Ok(None);
    };
    let Some((body, body_length)) = body(&bytes[length..], head.headers)? else { return Ok(None) };
    let status = head.code.unwrap_or_default();
    let kept = match value(head.headers, "connection") {
        Some(option) => !option.eq_ignore_ascii_case(b"close"),
        None => head.version == Some(1),
    };
    Ok(Some((Answer { status, body, kept }, length + body_length)))
}

fn value<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn body(bytes: &[u8], headers: &[Header<'_>]) -> Result<Option<(Vec<u8>, usize)>, String> {
    if value(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        return chunks(bytes);
    }
    let length = value(headers, "content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    let length: usize = length.ok_or("an answer without a length")?;
    Ok(bytes.get(..length).map(|body| (body.to_vec(), length)))
}

/// A body in chunks (RFC 9112, section 7.1), without trailers, which no server here sends.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let parsed = parse_chunk_size(&bytes[at..]).map_err(|_| "a chunk without a size")?;
        let Status::Complete((line, size)) = parsed else { return Ok(None) };
        let size = usize::try_from(size).map_err(|_| "a chunk that is too long")?;
        let start = at + line;
        let Some(end) = bytes.get(start + size..start + size + 2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err("a chunk that does not end where it says".to_owned());
        }
        body.extend_from_slice(&bytes[start..start + size]);
        at = start + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every proper beginning is no answer yet; the whole is this one, whatever follows.
    fn is(bytes: &[u8], body: &[u8], kept: bool) {
        for seen in 0..bytes.len() {
            assert_eq!(parse(&bytes[..seen]), Ok(None), "{seen} bytes");
        }
        let answer = Answer { status: 200, body: body.to_vec(), kept };
        assert_eq!(parse(&[bytes, b"more"].concat()), Ok(Some((answer, bytes.len()))));
    }

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        is(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nDate: today\r\n\r\nhello\n", b"hello\n", true);
        is(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", b"", false);
        is(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", b"a", false);
    }

    #[test]
    fn chunks_are_put_together() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
        is(&[head, b"3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n"].concat(), b"abcd", true);
        assert!(parse(&[head, b"3\r\nabcd\r\n"].concat()).is_err());
    }

    #[test]
    fn other_things_are_none() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0-x\r\n").is_err());
    }
}
