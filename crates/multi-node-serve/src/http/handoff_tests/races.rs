//! The race itself: bytes that come while the hand-off is under way.

use super::*;

pub(super) const GET: &str = "GET /say/7 HTTP/1.1\r\nhost: x\r\n\r\n";
pub(super) const POST: &str = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n7";
pub(super) const CHUNKED: &str =
    "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n";

/// How the first part of a request gets to the server before the drain begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Start {
    /// On a new connection, where the server has read it.
    New,
    /// Behind a request that was answered, where the server has read it.
    Used,
    /// Together with that request.
    Together,
    /// At the same moment.
    AtOnce,
}

/// A connection of which `position` bytes of the request have been sent when the drain begins.
pub(super) async fn begun(request: &str, position: usize, start: Start) -> (Pair, Client) {
    let pair = Pair::named().await;
    let mut client = pair.from.connect().await;
    client.0.set_nodelay(true).expect("it can be");
    let first = &request[..position];
    if start == Start::Together {
        client.send(format!("GET /who HTTP/1.1\r\nhost: x\r\n\r\n{first}")).await;
        assert_eq!(answer(&mut client).await, "A");
    } else {
        if start == Start::Used {
            assert_eq!(ask(&mut client, "/who").await, "A");
        }
        client.send(first).await;
    }
    pair.from.until(|counts| counts.open == 1).await;
    if start != Start::AtOnce {
        let begun = u64::from(start != Start::New) + u64::from(position >= head(request));
        pair.from.until(|counts| counts.requests == begun).await;
        // Half a head shows nowhere. Mostly it has been read now, but that makes no difference to what must come.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    pair.drain();
    (pair, client)
}

/// How long the head of a request is.
fn head(request: &str) -> usize {
    request.find("\r\n\r\n").expect("it has a head") + 4
}

/// The drain begins when `position` bytes of the request have been sent; the others follow one by one.
async fn split(request: &str, position: usize, start: Start) {
    let (pair, mut client) = begun(request, position, start).await;
    let head = head(request);
    for byte in request[position..].bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    let text = answer(&mut client).await;
    let case = || format!("{start:?}, {position} of {request:?}");
    assert!(text == "A7" || text == "B7", "{text:?} for {}", case());
    // A request whose head is complete is answered where it is. One whose head is not goes, even if the server finds the byte that
    // was sent before its task could run.
    if start != Start::AtOnce && position >= head {
        assert_eq!(text, "A7", "{}", case());
    } else if position + 1 < head {
        assert_eq!(text, "B7", "{}", case());
    }
    assert_eq!(ask(&mut client, "/who").await, "B", "{}", case());
    let (report, carried, to) = pair.drained().await;
    assert_eq!((report, carried), (all_given(1), Carried { taken: 1, refused: 0 }), "{}", case());
    let requests = 1 + u64::from(text == "B7");
    to.until(|counts| counts == Counts { open: 1, accepted: 0, requests, in_flight: 0, skipped: 0 }).await;
}

async fn split_everywhere(request: &str) {
    for start in [Start::New, Start::Used, Start::Together, Start::AtOnce] {
        for position in 0..=request.len() {
            split(request, position, start).await;
        }
    }
}

#[tokio::test]
async fn a_request_at_every_position() {
    split_everywhere(GET).await;
}

#[tokio::test]
async fn an_upload_at_every_position() {
    split_everywhere(POST).await;
}

#[tokio::test]
async fn a_chunked_upload_at_every_position() {
    split_everywhere(CHUNKED).await;
}

/// Clients that never pause, on threads of their own, while one server after the other drains.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn clients_that_never_pause() {
    const CLIENTS: usize = 8;
    const SERVERS: usize = 6;
    const NAMES: [&str; SERVERS] = ["A", "B", "C", "D", "E", "F"];
    let mut next = Server::start_with(named(NAMES[SERVERS - 1]), None).await;
    let mut line = VecDeque::new();
    for name in NAMES[..SERVERS - 1].iter().rev() {
        let (handoff_sender, idle_conns) = mpsc::channel(ROOM);
        tokio::spawn(carry(idle_conns, next.serving.handoff_receiver()));
        line.push_front(next);
        next = Server::start_with(named(name), Some(handoff_sender)).await;
    }
    line.push_front(next);
    let clients =
        connected(&line[0], CLIENTS).await.into_iter().enumerate().map(|(n, client)| tokio::spawn(chat(client, n)));
    let clients: Vec<_> = clients.collect();
    while line.len() > 1 {
        line[0].until(|counts| counts.requests >= 200).await;
        let mut first = line.pop_front().expect("there are two");
        first.drain.begin(LIMIT);
        let report = first.drained().await;
        assert_eq!(report, all_given(CLIENTS as u64));
        let at_rest = first.counts();
        assert_eq!((at_rest.open, at_rest.in_flight), (0, 0));
    }
    for client in clients {
        client.await.expect("no request was lost");
    }
}

async fn connected(server: &Server, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = server.connect().await;
        client.0.set_nodelay(true).expect("it can be");
        assert_eq!(ask(&mut client, "/who").await, "A");
        clients.push(client);
    }
    clients
}

/// Requests of all kinds, in pieces of all sizes and at times two at once, until the last server has answered some.
async fn chat(mut client: Client, seed: usize) {
    let mut by_last = 0;
    let mut turn = seed;
    while by_last < 50 {
        turn += 1;
        let requests =
            if turn.is_multiple_of(3) { vec![GET, CHUNKED, POST] } else { vec![[GET, POST, CHUNKED][turn % 3]] };
        let bytes = requests.concat();
        for piece in bytes.as_bytes().chunks(1 + (turn * 7) % bytes.len()) {
            client.send(piece).await;
        }
        for _ in &requests {
            let text = answer(&mut client).await;
            assert_eq!(&text[1..], "7");
            by_last += usize::from(text.starts_with('F'));
        }
    }
}
