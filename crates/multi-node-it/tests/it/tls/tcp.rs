//! Bytes over TLS, in a process that serves alone.

use multi_node::tls::Certificates;
use multi_node::{Conn, Options, listen, tcp};
use multi_node_it::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};

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
