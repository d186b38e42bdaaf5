//! Bytes over TLS.

use multi_node::tls::Certificates;
use multi_node::{Conn, Options, listen, tcp};
use multi_node_it::plan::TlsPlan;
use multi_node_it::{Program, within};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::authority::Authority;
use super::client::Https;

#[tokio::test]
async fn bytes_are_served_by_tls_and_end_in_good_order() {
    within(30, async {
        let authority = Authority::new();
        let echo = tcp(|conn: Conn| async move {
            let (mut read, mut write) = split(conn.stream);
            let _ = copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        });
        let echo = echo.tls(Certificates::files(authority.path("cert.pem"), authority.path("key.pem")));
        let options = Options::new().host("127.0.0.1").port(0).nodes(0).control(None::<&str>);
        let nodes = listen(options, echo).await.expect("it serves");
        let addr = nodes.local_addr().to_string().parse().expect("a TCP address");
        let mut client = Https::new(&authority, "any").connect(addr).await.expect("a handshake");
        client.write_all(b"hello").await.expect("it is open");
        client.shutdown().await.expect("it is open");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("the bytes, and close_notify");
        assert_eq!(answer, "hello");
    })
    .await;
}

/// Whether these bytes come back.
async fn come_back(client: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    client.write_all(bytes).await.expect("it is open");
    let mut answer = vec![0; bytes.len()];
    client.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, bytes);
}

#[tokio::test]
async fn nodes_serve_bytes_by_tls_over_a_reload() {
    within(30, async {
        let authority = Authority::new();
        let mut program = Program::serving(authority.plan_of(2, TlsPlan { echo: true, ..TlsPlan::default() })).await;
        let addr = program.addrs[1].parse().expect("a TCP address");
        let client = Https::new(&authority, "any");
        let mut open = client.connect(addr).await.expect("a handshake");
        come_back(&mut open, b"before").await;
        let reload = program.send("reload").await;
        program.logged("drains, for").await;
        let mut new = client.connect(addr).await.expect("a handshake");
        assert_eq!(new.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        come_back(&mut new, b"new").await;
        come_back(&mut open, b"open in the drain").await;
        open.shutdown().await.expect("it is open");
        assert_eq!(open.read(&mut [0]).await.expect("close_notify"), 0);
        let answer = program.answer(reload).await;
        assert!(answer["Ok"].is_object(), "{answer}");
        drop(new);
        program.stop().await;
    })
    .await;
}
