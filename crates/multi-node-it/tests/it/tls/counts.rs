//! Handshakes are counted by how they end.

use std::net::SocketAddr;
use std::time::Duration;

use multi_node_it::plan::TlsPlan;
use multi_node_it::{Plan, Program, get, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::authority::Authority;
use super::client::Https;

/// Where the program serves its metrics, from its log.
async fn metrics(program: &Program) -> SocketAddr {
    program.logged("metrics are served on ").await;
    let log = program.log();
    let line = log.lines().find_map(|line| line.split("metrics are served on ").nth(1)).expect("logged");
    line.trim().parse().expect("an address")
}

/// Waits until the page has all these lines. Nodes report once a second.
async fn shows(program: &Program, expected: &[&str]) {
    let addr = metrics(program).await;
    loop {
        let page = get(addr, "/metrics").await.expect("an answer").body;
        let missing = |line: &&&str| !page.lines().any(|shown| shown == **line);
        let Some(missing) = expected.iter().find(missing) else { return };
        eprintln!("{missing} is not there yet:");
        page.lines().filter(|line| line.starts_with("multi_node_tls")).for_each(|line| eprintln!("  {line}"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn handshakes_are_counted_by_outcome_and_over_a_reload_and_metrics_have_the_expiry() {
    within(60, async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let plan = authority.plan(1);
        let tls = TlsPlan { handshake_timeout: Some(Duration::from_secs(2)), ..plan.tls.clone().expect("it has TLS") };
        let plan = Plan { tls: Some(tls), metrics: Some("127.0.0.1:0".to_owned()), ..plan };
        let mut program = Program::serving(plan).await;
        let client = Https::new(&authority, "http/1.1");
        for _ in 0..3 {
            client.ask(program.addr).await.expect("an answer");
        }
        // One that does not know the authority, one that speaks no TLS, one that only connects, and one that says nothing.
        Https::new(&stranger, "http/1.1").ask(program.addr).await.expect_err("it trusts another authority");
        let mut plain = TcpStream::connect(program.addr).await.expect("a connection");
        plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
        let _ = plain.read_to_end(&mut Vec::new()).await;
        drop(TcpStream::connect(program.addr).await.expect("a connection"));
        let mut silent = TcpStream::connect(program.addr).await.expect("a connection");
        let _ = silent.read_to_end(&mut Vec::new()).await;
        let counted = [
            "multi_node_tls_handshakes_total{kind=\"full\"} 1",
            "multi_node_tls_handshakes_total{kind=\"resumed\"} 2",
            "multi_node_tls_failed_handshakes_total{reason=\"refused_by_client\"} 1",
            "multi_node_tls_failed_handshakes_total{reason=\"malformed\"} 1",
            "multi_node_tls_failed_handshakes_total{reason=\"closed\"} 1",
            "multi_node_tls_failed_handshakes_total{reason=\"timed_out\"} 1",
            "multi_node_tls_failed_handshakes_total{reason=\"incompatible\"} 0",
        ];
        shows(&program, &counted).await;
        program.command("reload").await;
        client.ask(program.addr).await.expect("an answer");
        let after = [counted[0], "multi_node_tls_handshakes_total{kind=\"resumed\"} 3", counted[2]];
        shows(&program, &after).await;

        let expires = program.status().await.certificates[0].expires;
        let labels = format!("{{server=\"0\",file=\"{}\"}}", authority.path("cert.pem").display());
        let expiry = format!("multi_node_certificate_expiry_timestamp_seconds{labels} {expires}");
        shows(&program, &[&expiry, &format!("multi_node_certificate_error{labels} 0")]).await;
        authority.put("cert.pem", "none");
        shows(&program, &[&expiry, &format!("multi_node_certificate_error{labels} 1")]).await;
        program.stop().await;
    })
    .await;
}
