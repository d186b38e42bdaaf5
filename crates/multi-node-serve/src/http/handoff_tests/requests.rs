//! Requests under way when the drain begins: none is lost, answered twice, or answered out of order.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use http_body_util::BodyExt;

use super::*;

#[tokio::test]
async fn a_pipelined_request_behind_a_slow_one() {
    let go = Arc::new(Notify::new());
    let pair = Pair::start(slow("A", &go), named("B")).await;
    let mut client = pair.from.connect().await;
    client
        .send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /say/2 HTTP/1.1\r\nhost: x\r\n\r\nGET /say/3 HTTP/1.1\r\nho")
        .await;
    pair.from.until(|counts| counts.in_flight == 1).await;
    pair.drain();
    go.notify_one();
    assert_eq!(answer(&mut client).await, "A at last");
    // hyper goes on to the second in the same poll in which it has written the first: there is no gap between them.
    assert_eq!(answer(&mut client).await, "A2");
    let (report, _, to) = pair.drained().await;
    assert_eq!(report, all_given(1));
    client.send("st: x\r\n\r\n").await;
    assert_eq!(answer(&mut client).await, "B3");
    assert_eq!(to.counts().requests, 1);
}

/// hyper answers 16 requests at most before it yields. What it has not begun goes along.
#[tokio::test]
async fn many_pipelined_requests() {
    const COUNT: usize = 60;
    let go = Arc::new(Notify::new());
    let pair = Pair::start(slow("A", &go), named("B")).await;
    let mut client = pair.from.connect().await;
    let more: String = (0..COUNT).map(|n| format!("GET /say/{n} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
    client.send(format!("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n{more}")).await;
    pair.from.until(|counts| counts.in_flight == 1).await;
    pair.drain();
    go.notify_one();
    assert_eq!(answer(&mut client).await, "A at last");
    let mut by_other = 0;
    for n in 0..COUNT {
        let text = answer(&mut client).await;
        let (by, said) = text.split_at(1);
        assert_eq!(said, n.to_string());
        assert!(by == "B" || by_other == 0, "{n} came back to the first server");
        by_other += u64::from(by == "B");
    }
    assert!(by_other >= 20, "the first server should not have answered all but {by_other}");
    let (report, _, to) = pair.drained().await;
    assert_eq!(report, all_given(1));
    to.until(|counts| counts.requests == by_other && counts.in_flight == 0).await;
}

#[tokio::test]
async fn half_a_head() {
    for before in ["", "GET /say/1 HTTP/1.1\r\nhost: x\r\n\r\n"] {
        for together in [true, false] {
            let pair = Pair::named().await;
            let mut client = pair.from.connect().await;
            match together {
                true => client.send(format!("{before}GET /say/2 HT")).await,
                false => client.send(before).await,
            }
            if !before.is_empty() {
                assert_eq!(answer(&mut client).await, "A1");
            }
            if !together {
                client.send("GET /say/2 HT").await;
            }
            pair.from.until(|counts| counts.open == 1).await;
            pair.drain();
            let (report, _, to) = pair.drained().await;
            assert_eq!(report, all_given(1));
            client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
            assert_eq!(answer(&mut client).await, "B2");
            assert_eq!(ask(&mut client, "/who").await, "B");
            assert_eq!(to.counts().requests, 2);
        }
    }
}

#[tokio::test]
async fn an_upload_is_finished_first() {
    for head in ["content-length: 6", "transfer-encoding: chunked", "content-length: 6\r\nexpect: 100-continue"] {
        let pair = Pair::named().await;
        let mut client = pair.from.connect().await;
        client.send(format!("POST /echo HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n")).await;
        pair.from.until(|counts| counts.in_flight == 1).await;
        if head.contains("expect") {
            client.read_to("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        pair.drain();
        let body = if head.contains("chunked") { "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n" } else { "abcdef" };
        for byte in body.bytes() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            client.send([byte]).await;
        }
        assert_eq!(answer(&mut client).await, "Aabcdef");
        assert_eq!(ask(&mut client, "/who").await, "B");
        assert_eq!(pair.drained().await.0, all_given(1));
    }
}

/// Uploads that lie behind are no uploads under way.
#[tokio::test]
async fn after_an_upload() {
    for body in ["content-length: 2\r\n\r\nhi", "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"] {
        let pair = Pair::named().await;
        let mut client = pair.from.connect().await;
        client.send(format!("POST /echo HTTP/1.1\r\nhost: x\r\n{body}")).await;
        assert_eq!(answer(&mut client).await, "Ahi");
        pair.from.until(|counts| counts.in_flight == 0).await;
        pair.drain();
        assert_eq!(pair.drained().await.0, all_given(1));
        assert_eq!(ask(&mut client, "/who").await, "B");
    }
}

const SMUGGLED: &str = "GET /say/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

/// Unread bytes of a body must never be parsed as a request.
#[tokio::test]
async fn a_body_that_nobody_reads() {
    for body in [SMUGGLED.to_owned(), SMUGGLED.repeat(1000)] {
        let head = format!("content-length: {}", body.len());
        for early in [0, 10, SMUGGLED.len()] {
            unread(&head, body.split_at(early), early == body.len()).await;
        }
    }
    // hyper takes chunks from its buffer one by one, so that more of them are in it when the body is dropped.
    let chunks = format!("1\r\nx\r\n{:x}\r\n{SMUGGLED}\r\n{:x}\r\n", SMUGGLED.len(), SMUGGLED.len());
    let end = format!("{SMUGGLED}\r\n0\r\n\r\n");
    unread("transfer-encoding: chunked", (&chunks, &end), false).await;
    unread("transfer-encoding: chunked", (&format!("{chunks}{end}"), ""), false).await;
}

/// A part of a body comes before the answer, and the rest after it. Only where hyper then finds `all` of it can the connection go on.
async fn unread(head: &str, (early, late): (&str, &str), all: bool) {
    let go = Arc::new(Notify::new());
    let handler = {
        let go = go.clone();
        move |request: Request| async move {
            go.notified().await;
            // Dropped with the answer: hyper learns of both in one poll, and looks for the body only in the next.
            drop(request);
            "A unread."
        }
    };
    let pair = Pair::start(http(routes("A").route("/unread", post(handler))), named("B")).await;
    let mut client = pair.from.connect().await;
    client.send(format!("POST /unread HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{early}")).await;
    pair.from.until(|counts| counts.in_flight == 1).await;
    pair.drain();
    go.notify_one();
    client.read_to("A unread.").await;
    if !all {
        client.send(late).await;
        assert_eq!(client.rest().await, "");
    }
    drop(client);
    let (report, carried, to) = pair.drained().await;
    assert_eq!((report.handed_off, carried.taken), (u64::from(all), u64::from(all)));
    to.until(|counts| counts.open == 0).await;
    assert_eq!(to.counts().requests, 0);
}

/// The service has answered, and a task of its own reads the body, or drops it, while the process drains.
#[tokio::test]
async fn a_body_that_is_read_after_the_answer() {
    for reads in [true, false] {
        let go = Arc::new(Notify::new());
        let (told, mut read) = mpsc::channel(1);
        let later = {
            let go = go.clone();
            move |request: Request| async move {
                tokio::spawn(async move {
                    go.notified().await;
                    if reads {
                        let body = request.into_body().collect().await.expect("all of it").to_bytes();
                        told.send(body).await.expect("the test waits");
                    }
                });
                "A early."
            }
        };
        let pair = Pair::start(http(routes("A").route("/later", post(later))), named("B")).await;
        let mut client = pair.from.connect().await;
        let (first, second) = (&SMUGGLED[..10], &SMUGGLED[10..]);
        let head = format!("POST /later HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", SMUGGLED.len());
        client.send(format!("{head}{first}")).await;
        assert_eq!(answer(&mut client).await, "A early");
        pair.from.until(|counts| counts.in_flight == 0).await;
        pair.drain();
        tokio::time::sleep(Duration::from_millis(20)).await;
        go.notify_one();
        client.send(second).await;
        assert_eq!(client.rest().await, "");
        drop(client);
        if reads {
            assert_eq!(read.recv().await.expect("it is read to its end"), SMUGGLED);
        }
        let (report, carried, to) = pair.drained().await;
        assert_eq!((report.handed_off, carried.taken), (0, 0));
        assert_eq!(to.counts(), Counts::default());
    }
}

#[tokio::test]
async fn a_streamed_answer_is_finished_first() {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let stream = move || async move {
        let mut receiver = receiver.lock().expect("no panic").take().expect("one request");
        Body::from_stream(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)))
    };
    let pair = Pair::start(http(routes("A").route("/stream", get(stream))), named("B")).await;
    let mut client = pair.from.connect().await;
    client.get("/stream").await;
    sender.send(Ok("first".into())).await.expect("it streams");
    let head = client.read_to("first\r\n").await;
    assert!(!head.contains("connection: close"), "{head:?}");
    pair.drain();
    tokio::time::sleep(Duration::from_millis(20)).await;
    sender.send(Ok("second".into())).await.expect("it streams on");
    client.read_to("second\r\n").await;
    assert_eq!((pair.from.counts().open, pair.from.counts().in_flight), (1, 1));
    drop(sender);
    client.read_to("0\r\n\r\n").await;
    assert_eq!(ask(&mut client, "/who").await, "B");
    assert_eq!(pair.drained().await.0, all_given(1));
}

/// The response has been made but not written: the client does not read.
#[tokio::test]
async fn a_large_answer_is_written_first() {
    const SIZE: usize = 16 << 20;
    let pair = Pair::start(http(routes("A").route("/large", get(|| async { "x".repeat(SIZE) }))), named("B")).await;
    let mut client = pair.from.connect().await;
    client.get("/large").await;
    let head = client.read_to("\r\n\r\n").await;
    assert!(!head.contains("connection: close"), "{head:?}");
    // Given to hyper as a whole, it is answered as far as the service is concerned.
    pair.from.until(|counts| counts.requests == 1 && counts.in_flight == 0).await;
    pair.drain();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(pair.from.counts().open, 1, "it must not leave before it is written");
    let mut body = vec![0; SIZE];
    tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut body).await.expect("all of it comes");
    assert!(body.iter().all(|byte| *byte == b'x'));
    assert_eq!(ask(&mut client, "/who").await, "B");
    assert_eq!(pair.drained().await.0, all_given(1));
}

/// As Java's and curl's clients do with the first request of a connection.
#[tokio::test]
async fn an_upgrade_that_was_declined() {
    let offer = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__";
    let get = format!("GET /say/1 HTTP/1.1\r\nhost: x\r\n{offer}\r\n\r\n");
    let post = format!("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n{offer}\r\n\r\n1");
    for first in [get, post] {
        for half in ["", "GET /w"] {
            let pair = Pair::named().await;
            let mut client = pair.from.connect().await;
            client.send(format!("{first}{half}")).await;
            assert_eq!(answer(&mut client).await, "A1");
            pair.from.until(|counts| counts.in_flight == 0).await;
            pair.drain();
            let (report, _, _to) = pair.drained().await;
            assert_eq!(report, all_given(1));
            let rest = &"GET /who HTTP/1.1\r\nhost: x\r\n\r\n"[half.len()..];
            client.send(rest).await;
            assert_eq!(answer(&mut client).await, "B");
        }
    }
}
