//! Listeners and the servers that use them, on loopback and Unix sockets, gated and not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;
use crate::serving::DrainReport;
use crate::{Conn, Drain, Here, LoadTable, Place, Servers, Serving, raw, start, tcp};

/// No test takes longer; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(20);

fn socket() -> (Socket, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("a socket can be");
    let address = listener.local_addr().expect("it is bound");
    (Socket::Tcp(listener), address)
}

fn alone() -> Place {
    Place::new(LoadTable::local(), 0)
}

#[cfg(multi_process)]
fn gated() -> Place {
    let wake_fd = Some(crate::wake_fd().expect("an eventfd"));
    Place { wake_fd, ..Place::new(LoadTable::on_heap(2), 1) }
}

#[cfg(not(multi_process))]
fn gated() -> Place {
    alone()
}

async fn serve(servers: impl Into<Servers<Here>>, sockets: Vec<Vec<Socket>>, place: Place) -> (Serving, Drain) {
    let (drain, signal) = Drain::new();
    (start(servers.into(), sockets, place, Here, signal).await.expect("it starts"), drain)
}

async fn read_all(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut text = String::new();
    timeout(LIMIT, stream.read_to_string(&mut text)).await.expect("the end comes").expect("in order");
    text
}

async fn say_where(mut conn: Conn<Here>) {
    let text = format!("{} {}", conn.peer(), conn.local());
    let _ = conn.stream.write_all(text.as_bytes()).await;
}

#[tokio::test]
async fn servers_on_addresses_of_their_own() {
    for place in [alone(), gated()] {
        let ((one, first), (two, second), (three, third)) = (socket(), socket(), socket());
        let servers = tcp(say_where).and(
            "elsewhere",
            tcp(|mut conn: Conn<Here>| async move {
                let _ = conn.stream.write_all(b"second").await;
            }),
        );
        assert_eq!(servers.binds(), [None, Some("elsewhere".to_owned())]);
        let (_serving, _drain) = serve(servers, vec![vec![one, two], vec![three]], place).await;
        for address in [first, second, first] {
            let client = TcpStream::connect(address).await.expect("it listens");
            let local = client.local_addr().expect("it is connected");
            assert_eq!(read_all(client).await, format!("{local} {address}"));
        }
        assert_eq!(read_all(TcpStream::connect(third).await.expect("it listens")).await, "second");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets() {
    let path = std::env::temp_dir().join(format!("multi-node-serve-{}", std::process::id()));
    for place in [alone(), gated()] {
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a path");
        listener.set_nonblocking(true).expect("a socket can be");
        let (_serving, _drain) = serve(tcp(say_where), vec![vec![Socket::Unix(listener)]], place).await;
        let client = tokio::net::UnixStream::connect(&path).await.expect("it listens");
        assert_eq!(read_all(client).await, "unix unix");
    }
    let _ = std::fs::remove_file(&path);
}

#[tokio::test]
async fn a_raw_server_accepts_and_ends_with_the_drain() {
    for place in [alone(), gated()] {
        let (socket, address) = socket();
        let server = raw(|mut listener: Listener, _| async move {
            assert_eq!(listener.std_tcp()?.len(), 1);
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(b"raw").await?;
            }
            listener.draining().await;
            std::io::Result::Ok(())
        });
        let (mut serving, drain) = serve(server, vec![vec![socket]], place).await;
        for _ in 0..3 {
            assert_eq!(read_all(TcpStream::connect(address).await.expect("it listens")).await, "raw");
        }
        drain.begin(LIMIT);
        assert_eq!(timeout(LIMIT, serving.drained()).await.expect("it ends"), DrainReport::default());
    }
}

/// Each greets clients with another kind of server; with what a client sends to it.
fn greeters() -> [(Servers<Here>, &'static str); 3] {
    let raw = raw(|mut listener: Listener, _| async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"hello").await?;
        }
        std::io::Result::Ok(())
    });
    let greet = |mut conn: Conn<Here>| async move {
        let _ = conn.stream.write_all(b"hello").await;
    };
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let http = crate::http(app).max_connections(50);
    [(raw.into(), ""), (tcp(greet).into(), ""), (http.into(), "GET / HTTP/1.1\r\nhost: test\r\n\r\n")]
}

/// Twenty clients that have connected, and said something, before anybody could accept them.
async fn waiting(address: SocketAddr, words: &str) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).await.expect("it listens");
        client.write_all(words.as_bytes()).await.expect("sent");
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn what_waits_when_nobody_serves_on_is_served() {
    for place in [alone, gated] {
        for (servers, words) in greeters() {
            let (socket, address) = socket();
            let clients = waiting(address, words).await;
            // Nothing runs between the two, so the drain has begun when the server looks for the first time.
            let (mut serving, drain) = serve(servers, vec![vec![socket]], place()).await;
            drain.begin(LIMIT);
            for client in clients {
                assert!(read_all(client).await.ends_with("hello"), "each is answered");
            }
            let report = timeout(LIMIT, serving.drained()).await.expect("it ends");
            assert_eq!(report, DrainReport { finished: 20, ..DrainReport::default() });
        }
    }
}

#[cfg(multi_process)]
#[tokio::test]
async fn what_waits_is_left_to_siblings_and_a_program_that_ends_can_be_connected_to_no_more() {
    for (servers, words) in greeters() {
        let (socket, address) = socket();
        let sibling = socket.try_clone().expect("a descriptor");
        let _waiting = waiting(address, words).await;
        let (mut serving, drain) = serve(servers, vec![vec![socket]], gated()).await;
        drain.begin_staggered(LIMIT);
        assert_eq!(timeout(LIMIT, serving.drained()).await.expect("it ends"), DrainReport::default());

        let (mut serving, drain) =
            serve(tcp(say_where), vec![vec![sibling.try_clone().expect("a descriptor")]], gated()).await;
        drain.begin_last(LIMIT);
        assert_eq!(timeout(LIMIT, serving.drained()).await.expect("it ends").finished, 20);
        let refused = TcpStream::connect(address).await.expect_err("it was closed for all");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

/// Dropping `accept` half-way, again and again, must lose no connection.
#[tokio::test]
async fn accepting_can_be_cancelled() {
    for place in [alone(), gated()] {
        let (socket, address) = socket();
        let server = raw(|mut listener: Listener, _| async move {
            loop {
                let accepted = timeout(Duration::from_micros(300), listener.accept()).await;
                if let Ok(Ok((mut stream, _))) = accepted {
                    stream.write_all(b"got it").await?;
                }
                if listener.drain_signal().is_draining() {
                    return std::io::Result::Ok(());
                }
            }
        });
        let (_serving, _drain) = serve(server, vec![vec![socket]], place).await;
        for _ in 0..200 {
            assert_eq!(read_all(TcpStream::connect(address).await.expect("it listens")).await, "got it");
        }
    }
}

#[tokio::test]
async fn a_server_that_ends_early_has_failed() {
    let (one, two) = (socket().0, socket().0);
    let server = tcp(say_where).and("elsewhere", raw(|_, _| async { Err::<(), _>("out of tea") }));
    let (mut serving, _drain) = serve(server, vec![vec![one], vec![two]], alone()).await;
    let error = timeout(LIMIT, serving.failed()).await.expect("it is told");
    assert_eq!(error.to_string(), "the server ended before its time: out of tea");
    let (mut serving, _drain) =
        serve(raw(|_, _| async { std::io::Result::Ok(()) }), vec![vec![socket().0]], alone()).await;
    let error = timeout(LIMIT, serving.failed()).await.expect("it is told");
    assert_eq!(error.to_string(), "the server ended before its time, without an error");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_serves_from_a_listener() {
    use axum::extract::ConnectInfo;
    let (socket, address) = socket();
    let server = raw(|listener: Listener, _| async move {
        let drain = listener.drain_signal();
        let app = axum::Router::new()
            .route("/", axum::routing::get(|ConnectInfo(peer): ConnectInfo<Addr>| async move { peer.to_string() }));
        let app = app.into_make_service_with_connect_info::<Addr>();
        axum::serve(listener, app).with_graceful_shutdown(async move { drain.draining().await }).await
    });
    let (mut serving, drain) = serve(server, vec![vec![socket]], gated()).await;
    let mut client = TcpStream::connect(address).await.expect("it listens");
    let local = client.local_addr().expect("it is connected");
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("it is open");
    assert!(read_all(client).await.ends_with(&local.to_string()));
    let kept = TcpStream::connect(address).await.expect("it listens");
    drain.begin(LIMIT);
    drop(kept);
    assert_eq!(timeout(LIMIT, serving.drained()).await.expect("it ends").aborted, 0);
}

#[tokio::test]
async fn a_handler_learns_of_the_drain_and_is_cut_at_its_end() {
    let (socket, address) = socket();
    let told = Arc::new(tokio::sync::Notify::new());
    let tell = told.clone();
    let server = tcp(move |conn: Conn<Here>| {
        let tell = tell.clone();
        async move {
            conn.drain().draining().await;
            tell.notify_one();
            std::future::pending::<()>().await;
        }
    });
    let (mut serving, drain) = serve(server, vec![vec![socket]], alone()).await;
    let client = TcpStream::connect(address).await.expect("it listens");
    timeout(LIMIT, async {
        while serving.open() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is accepted");
    drain.begin(Duration::from_millis(100));
    timeout(LIMIT, told.notified()).await.expect("it is told");
    assert_eq!(serving.drained().await, DrainReport { finished: 0, handed_off: 0, aborted: 1 });
    assert_eq!(read_all(client).await, "");
}

#[tokio::test(start_paused = true)]
async fn failures_are_waited_out() {
    let mut rest = Rest::default();
    let error = io::Error::other("too many open files");
    for milliseconds in [100, 200, 400, 800, 1000, 1000] {
        rest.begin(&error);
        let begun = Instant::now();
        poll_fn(|cx| rest.poll(cx)).await;
        assert_eq!(begun.elapsed().as_millis() / 10 * 10, milliseconds);
    }
    poll_fn(|cx| rest.poll(cx)).await;
}

#[cfg(multi_process)]
#[test]
fn only_failures_of_one_connection_pass_at_once() {
    for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
        assert!(passes_at_once(&kind.into()), "{kind}");
    }
    for code in
        [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOBUFS, rustix::io::Errno::NOMEM]
    {
        assert!(!passes_at_once(&code.into()), "{code}");
    }
}
