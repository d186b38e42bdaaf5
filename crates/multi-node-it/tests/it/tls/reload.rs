//! No request is lost in a reload, and connections are not cut.

use std::time::{Duration, Instant};

use multi_node::commands::ReloadReport;
use multi_node_it::within;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
