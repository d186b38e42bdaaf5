use super::*;

/// What becomes of bytes that come in pieces of this size, after which the connection ends in good order.
fn read(to_head: bool, bytes: &[u8], size: usize) -> Result<Answer, Failure> {
    let mut reading = Reading::new(to_head, 1 << 20);
    for piece in bytes.chunks(size) {
        if let Some(answer) = reading.take(piece)? {
            return Ok(answer);
        }
    }
    reading.end()
}

/// The status, the body and whether the connection stays, however the bytes are cut into pieces.
fn answer(bytes: &[u8]) -> (u16, String, bool) {
    let whole = read(false, bytes, bytes.len().max(1)).unwrap_or_else(|lost| panic!("{lost}"));
    for size in 1..bytes.len() {
        assert_eq!(read(false, bytes, size).as_ref(), Ok(&whole), "in pieces of {size} bytes");
    }
    assert_eq!(whole.length, whole.body.len() as u64);
    (whole.status, String::from_utf8(whole.body).expect("text"), whole.kept)
}

/// How the request is lost, however the bytes are cut into pieces.
fn lost(bytes: &[u8]) -> How {
    let how = |size| read(false, bytes, size).expect_err("no answer").how;
    let whole = how(bytes.len().max(1));
    assert!((1..bytes.len()).all(|size| how(size) == whole));
    whole
}

#[test]
fn whole_answers() {
    let table: [(&[u8], u16, &str, bool); 14] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nDate: today\r\n\r\nhello\n", 200, "hello\n", true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\nhello", 200, "hello", true),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 200, "", false),
        (b"HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 1\r\n\r\na", 200, "a", false),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", 200, "a", false),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", 200, "a", true),
        (b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na", 200, "a", true),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", false),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nuntil the end", 200, "until the end", false),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, "", true),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy", 503, "busy", true),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n", 204, "", true),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, "", true),
    ];
    for (bytes, status, body, kept) in table {
        assert_eq!(answer(bytes), (status, body.to_owned(), kept), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn answers_in_chunks() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\ncontent-length: 3\r\n\r\n".as_slice();
    let table: [(&[u8], &str); 4] = [
        (b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n", "abcd"),
        (b"A\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
        (b"0\r\n\r\n", ""),
        (b"1\r\na\r\n0\r\nchecksum: 1\r\nother: 2\r\n\r\n", "a"),
    ];
    for (chunks, body) in table {
        assert_eq!(answer(&[head, chunks].concat()), (200, body.to_owned(), true));
    }
}

#[test]
fn what_servers_cut_off() {
    assert_eq!(lost(b""), How::Closed);
    let table: [&[u8]; 7] = [
        b"H",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nchecksum: 1\r\n",
    ];
    for bytes in table {
        assert_eq!(lost(bytes), How::Truncated, "{}", String::from_utf8_lossy(bytes));
    }
    // The answer itself has not begun.
    assert_eq!(lost(b"HTTP/1.1 100 Continue\r\n\r\n"), How::Closed);
}

#[test]
fn what_is_no_answer() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let table = [
        "SSH-2.0-x\r\n".to_owned(),
        "\u{1}\u{2}\u{3}\u{4} garbage\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 twenty OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
        format!("{chunked}3\r\nabcd\r\n"),
        format!("{chunked}x\r\n"),
        format!("{chunked}-3\r\nabc\r\n"),
        format!("{chunked}fffffffffffffffff\r\n"),
        format!("{chunked}0\r\nno trailer\r\n\r\n"),
    ];
    for text in table {
        assert_eq!(lost(text.as_bytes()), How::Wrong, "{text}");
    }
}

#[test]
fn more_bytes_than_an_answer_has_are_wrong() {
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab";
    assert_eq!(read(false, bytes, bytes.len()).map_err(|lost| lost.how), Err(How::Wrong));
    let bytes = b"HTTP/1.1 204 No Content\r\n\r\nbody";
    assert_eq!(read(false, bytes, bytes.len()).map_err(|lost| lost.how), Err(How::Wrong));
}

#[test]
fn the_answer_to_head_has_no_body() {
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let answer = read(true, bytes, 7).expect("an answer");
    assert_eq!((answer.status, answer.length, answer.kept), (200, 0, true));
}

#[test]
fn what_never_ends_is_bounded() {
    let endless = |head: &str, more: &[u8]| {
        let mut reading = Reading::new(false, 10);
        reading.take(head.as_bytes()).expect("it begins well");
        let piece: Vec<u8> = more.iter().copied().cycle().take(3000).collect();
        let mut most = 0;
        for _ in 0..1000 {
            if let Err(lost) = reading.take(&piece) {
                return (Some(lost.how), most);
            }
            most = most.max(reading.pending.capacity() + reading.answer.body.capacity());
        }
        (None, most)
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let table: [(&str, &[u8], Option<How>); 6] = [
        ("HTTP/1.1 200 OK\r\n", b"a: b\r\n", Some(How::Wrong)),
        ("HTTP/1.1 200 OK\r\nname: ", b"v", Some(How::Wrong)),
        (&format!("{chunked}1;"), b"x", Some(How::Wrong)),
        (&format!("{chunked}0\r\na: "), b"x", Some(How::Wrong)),
        // A body may be as long as it likes, and is not kept.
        ("HTTP/1.1 200 OK\r\n\r\n", b"x", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n", b"x", None),
    ];
    for (head, more, expected) in table {
        let (how, most) = endless(head, more);
        assert_eq!(how, expected, "{head:?}");
        assert!(most <= 4 * LONGEST_HEAD, "{head:?}: {most} bytes");
    }
}
