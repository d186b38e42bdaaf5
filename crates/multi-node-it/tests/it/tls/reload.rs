//! No request is lost in a reload, and connections are not cut.

use std::time::{Duration, Instant};

use multi_node::commands::ReloadReport;
use multi_node_it::{HttpPlan, Plan, Program, within};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::authority::Authority;
use super::client::{Clients, Https};

#[tokio::test]
async fn clients_of_both_protocols_lose_nothing_over_reloads() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(2).await;
        let clients = Clients::begin(&authority, &program, 6);
        for _ in 0..3 {
            clients.go_on(100).await;
            let answer = program.command("reload").await;
            let report = ReloadReport::deserialize(&answer["Ok"]).expect("a report");
            let handed_off: u64 = report.slots.iter().filter_map(|slot| slot.handed_off).sum();
            assert_eq!(handed_off, 0, "TLS connections do not move: {report}");
            assert!(report.slots.iter().all(|slot| slot.aborted == Some(0)), "{report}");
        }
        clients.go_on(100).await;
        assert!(clients.end().await >= 400);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_its_next_request_or_closed_in_good_order() {
    within(30, async {
        let authority = Authority::new();
        let mut program = authority.serving(1).await;
        let https = Https::new(&authority, "http/1.1");
        let mut asks = https.connect(program.addr).await.expect("a connection");
        let mut silent = https.connect(program.addr).await.expect("a connection");
        for client in [&mut asks, &mut silent] {
            client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
            let mut answer = [0; 1024];
            assert!(client.read(&mut answer).await.expect("an answer") > 0);
        }
        let begun = Instant::now();
        let reload = program.send("reload").await;
        program.logged("drains, for").await;
        // The old node drains for 3 s. A client that asks in that time is answered by it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        asks.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
        let mut rest = String::new();
        asks.read_to_string(&mut rest).await.expect("an answer, and close_notify");
        assert!(rest.starts_with("HTTP/1.1 200") && rest.contains("connection: close"), "{rest:?}");
        // rustls reports an end without `close_notify` as an error.
        silent.read_to_string(&mut rest).await.expect("close_notify");
        assert!(begun.elapsed() >= Duration::from_millis(1500), "it was closed after {:?}", begun.elapsed());
        drop((asks, silent));
        let answer = program.answer(reload).await;
        let report = ReloadReport::deserialize(&answer["Ok"]).expect("a report");
        assert_eq!((report.slots[0].finished, report.slots[0].aborted), (Some(2), Some(0)), "{report}");
        assert_eq!((report.kept(), report.kept_closed()), (2, 1), "{report}");
        program.logged("finished=2 handed_off=0 aborted=0 kept=2 kept_closed=1").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_a_drain_when_its_keep_alive_time_is_over() {
    within(60, async {
        let authority = Authority::new();
        let http = HttpPlan { keep_alive_timeout: Duration::from_secs(2), ..HttpPlan::default() };
        let mut program =
            Program::serving(Plan { http, drain_timeout: Duration::from_secs(30), ..authority.plan(1) }).await;
        let mut client = Https::new(&authority, "http/1.1").connect(program.addr).await.expect("a connection");
        let begun = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
        assert!(client.read(&mut [0; 1024]).await.expect("an answer") > 0);
        let reload = program.send("reload").await;
        assert_eq!(client.read(&mut [0]).await.expect("close_notify"), 0);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(20), "{took:?}");
        drop(client);
        let report = ReloadReport::deserialize(&program.answer(reload).await["Ok"]).expect("a report");
        assert_eq!((report.kept(), report.kept_closed()), (1, 1), "{report}");
        program.stop().await;
    })
    .await;
}

/// The next frame of HTTP/2: its type, whether it is an acknowledgement, and what it has. `None`: the server has ended the connection by
/// `close_notify`, without which rustls reports an error.
async fn frame(client: &mut TlsStream<TcpStream>) -> Option<(u8, bool, Vec<u8>)> {
    let mut head = [0; 9];
    if client.read(&mut head[..1]).await.expect("close_notify") == 0 {
        return None;
    }
    client.read_exact(&mut head[1..]).await.expect("a whole frame");
    let mut content = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    client.read_exact(&mut content).await.expect("a whole frame");
    Some((head[3], head[4] & 1 == 1, content))
}

#[tokio::test]
async fn an_idle_http2_client_gets_goaway_and_close_notify() {
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    within(30, async {
        let authority = Authority::new();
        let mut program = authority.serving(1).await;
        let mut client = Https::new(&authority, "h2").connect(program.addr).await.expect("a connection");
        let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0][..]].concat();
        client.write_all(&hello).await.expect("it is open");
        let (mut reload, mut reasons) = (None, Vec::new());
        while let Some((kind, acknowledges, content)) = frame(&mut client).await {
            match (kind, acknowledges) {
                (SETTINGS, true) => reload = Some(program.send("reload").await),
                (PING, false) => {
                    let answer = [&[0, 0, 8, PING, 1, 0, 0, 0, 0], &content[..]].concat();
                    client.write_all(&answer).await.expect("it is open");
                }
                (GOAWAY, _) => reasons.push(content[4..8].to_vec()),
                _ => {}
            }
        }
        assert!(!reasons.is_empty() && reasons.iter().all(|reason| reason == &[0; 4]), "no error: {reasons:?}");
        let answer = program.answer(reload.expect("the server has taken the settings")).await;
        assert!(answer["Ok"].is_object(), "{answer}");
        program.stop().await;
    })
    .await;
}
