//! Clients that shut down their writing side behind their requests: all of these are answered, then the connection is closed.

use super::races::{CHUNKED, GET, POST, Start, begun};
use super::*;
use crate::Here;

/// The bodies of all answers until the other side's orderly end.
async fn bodies(client: &mut Client) -> Vec<String> {
    let text = client.rest().await;
    let bodies = text.split("HTTP/1.1 200 OK\r\n").skip(1);
    bodies.map(|answer| answer.rsplit("\r\n").next().expect("a body").to_owned()).collect()
}

async fn emptied(server: &Server) {
    server.until(|counts| counts.open == 0 && counts.in_flight == 0).await;
}

/// The drain begins when `position` bytes of the request have been sent; the others follow, and the client's end.
async fn split(request: &str, position: usize, start: Start) {
    let (pair, mut client) = begun(request, position, start).await;
    client.send(&request[position..]).await;
    client.end().await;
    let case = format!("{start:?}, {position} of {request:?}");
    let answers = bodies(&mut client).await;
    assert!(answers == ["A7."] || answers == ["B7."], "{answers:?} for {case}");
    let (report, _, to) = pair.drained().await;
    assert_eq!((report.aborted, report.finished + report.handed_off), (0, 1), "{case}");
    emptied(&to).await;
}

async fn split_everywhere(request: &str) {
    for start in [Start::New, Start::Used, Start::Together, Start::AtOnce] {
        for position in 0..=request.len() {
            split(request, position, start).await;
        }
    }
}

#[tokio::test]
async fn a_request_at_every_position_of_a_drain() {
    split_everywhere(GET).await;
}

#[tokio::test]
async fn an_upload_at_every_position_of_a_drain() {
    split_everywhere(POST).await;
}

#[tokio::test]
async fn a_chunked_upload_at_every_position_of_a_drain() {
    split_everywhere(CHUNKED).await;
}

/// The request comes in two parts, and the end with the second.
#[tokio::test]
async fn a_request_at_every_position() {
    let server = Server::start(named("A")).await;
    for request in [GET, POST, CHUNKED] {
        for position in 0..=request.len() {
            for pause in [false, true] {
                let mut client = server.connect().await;
                client.send(&request[..position]).await;
                if pause {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                client.send(&request[position..]).await;
                client.end().await;
                assert_eq!(bodies(&mut client).await, ["A7."], "{position} of {request:?}");
            }
        }
    }
    emptied(&server).await;
}

#[tokio::test]
async fn part_of_a_request_is_not_answered() {
    let server = Server::start(named("A")).await;
    for position in 0..GET.len() {
        let mut client = server.connect().await;
        client.send(&GET[..position]).await;
        client.end().await;
        assert_eq!(client.rest().await, "", "{position}");
    }
    emptied(&server).await;
}

const COUNT: usize = 60;

fn numbered() -> (String, Vec<String>) {
    let requests = (0..COUNT).map(|n| format!("GET /say/{n} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
    (requests, (0..COUNT).map(|n| format!("{n}.")).collect())
}

#[tokio::test]
async fn pipelined_requests() {
    let server = Server::start(named("A")).await;
    let (requests, expected) = numbered();
    let mut client = server.connect().await;
    client.send(requests).await;
    client.end().await;
    let answers = bodies(&mut client).await;
    assert_eq!(answers.iter().map(|answer| &answer[1..]).collect::<Vec<_>>(), expected);
    emptied(&server).await;
}

/// The first is slow, and the drain comes meanwhile. What the first server has not begun goes along, to be answered there; where no
/// process takes it, the first server answers what has come, as it would without the end.
#[tokio::test]
async fn pipelined_requests_in_a_drain() {
    let go = Arc::new(Notify::new());
    let pair = Pair::start(slow("A", &go), named("B")).await;
    let (requests, expected) = numbered();
    let mut client = pair.from.connect().await;
    client.send(format!("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n{requests}")).await;
    client.end().await;
    pair.from.until(|counts| counts.in_flight == 1).await;
    pair.drain();
    go.notify_one();
    let answers = bodies(&mut client).await;
    assert_eq!(answers[0], "A at last.");
    assert_eq!(answers[1..].iter().map(|answer| &answer[1..]).collect::<Vec<_>>(), expected);
    let (report, _, to) = pair.drained().await;
    assert_eq!(report.aborted, 0);
    emptied(&to).await;
}

#[tokio::test]
async fn a_slow_answer() {
    let go = Arc::new(Notify::new());
    let pair = Pair::start(slow("A", &go), named("B")).await;
    for drains in [false, true] {
        let mut client = pair.from.connect().await;
        client.get("/slow").await;
        client.end().await;
        pair.from.until(|counts| counts.in_flight == 1).await;
        if drains {
            pair.drain();
        }
        // The end has been seen.
        tokio::time::sleep(Duration::from_millis(20)).await;
        go.notify_one();
        assert_eq!(bodies(&mut client).await, ["A at last."]);
    }
    assert_eq!(pair.drained().await.0.aborted, 0);
}

/// A request and the end come while the connection is under way, and it comes back.
#[tokio::test]
async fn nobody_takes_it() {
    for request in ["", GET] {
        let (handoff_sender, mut idle_conns) = mpsc::channel(ROOM);
        let mut from = Server::start_with(named("A"), Some(handoff_sender)).await;
        let mut client = from.connect().await;
        let half = &GET[..10];
        client.send(if request.is_empty() { "" } else { half }).await;
        from.until(|counts| counts.open == 1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        from.drain.begin(LIMIT);
        let idle_conn = idle_conns.recv().await.expect("it leaves");
        client.send(request.get(10..).unwrap_or_default()).await;
        client.end().await;
        idle_conn.close();
        assert_eq!(bodies(&mut client).await.len(), usize::from(!request.is_empty()));
        assert_eq!(from.drained().await, DrainReport { finished: 1, aborted: 0, handed_off: 0 });
    }
}

/// What was sent before the end has been read by the first server, and only the end is left in the socket.
#[tokio::test]
async fn nobody_takes_what_was_read() {
    let go = Arc::new(Notify::new());
    let (handoff_sender, mut idle_conns) = mpsc::channel(ROOM);
    let mut from = Server::start_with(slow("A", &go), Some(handoff_sender)).await;
    let mut client = from.connect().await;
    let (requests, _) = numbered();
    client.send(format!("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n{requests}")).await;
    from.until(|counts| counts.in_flight == 1).await;
    from.drain.begin(LIMIT);
    go.notify_one();
    let idle_conn = idle_conns.recv().await.expect("it leaves after 16 answers");
    assert!(!idle_conn.before().is_empty());
    client.end().await;
    idle_conn.close();
    let answers = bodies(&mut client).await;
    assert!(answers.len() > 2, "the next request is answered, with `connection: close`: {answers:?}");
    assert_eq!(from.drained().await, DrainReport { finished: 1, aborted: 0, handed_off: 0 });
}

fn endless() -> Http<Router, Here> {
    http(routes("A").route("/endless", get(std::future::pending::<()>)))
}

/// Whether the client shuts down its writing side or has closed the connection looks the same.
#[tokio::test]
async fn a_client_that_may_be_gone_is_waited_for_so_long() {
    let soon = Duration::from_millis(300);
    for timeout in [soon, Duration::ZERO] {
        for closes in [false, true] {
            let server = Server::start(endless().half_close_timeout(timeout)).await;
            let mut client = server.connect().await;
            client.get("/endless").await;
            server.until(|counts| counts.in_flight == 1).await;
            let begun = tokio::time::Instant::now();
            match closes {
                true => drop(client),
                false => client.end().await,
            }
            emptied(&server).await;
            let took = begun.elapsed();
            assert!(took >= timeout && (timeout == soon || took < soon), "{took:?} of {timeout:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_resets_is_gone() {
    let server = Server::start(endless()).await;
    let mut client = server.connect().await;
    client.get("/endless").await;
    server.until(|counts| counts.in_flight == 1).await;
    client.0.set_zero_linger().expect("it can be");
    drop(client);
    emptied(&server).await;
}

/// Each byte of the answer begins the time anew; a client that has closed the connection answers it with a reset.
#[tokio::test]
async fn a_stream_of_events() {
    for closes in [false, true] {
        let (events, receiver) = mpsc::channel::<Result<&'static str, std::io::Error>>(1);
        let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
        let stream = move || async move {
            let mut receiver = receiver.lock().expect("no panic").take().expect("one request");
            axum::body::Body::from_stream(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)))
        };
        let server = http(Router::new().route("/events", get(stream))).half_close_timeout(Duration::from_millis(400));
        let server = Server::start(server).await;
        let mut client = server.connect().await;
        client.get("/events").await;
        client.read_to("\r\n\r\n").await;
        if closes {
            drop(client);
            while events.send(Ok("event")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        } else {
            client.end().await;
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                events.send(Ok("event")).await.expect("it streams on");
                client.read_to("event\r\n").await;
            }
            drop(events);
            client.read_to("0\r\n\r\n").await;
        }
        emptied(&server).await;
    }
}
