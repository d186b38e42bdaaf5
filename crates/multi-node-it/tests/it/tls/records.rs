//! Records after the handshake that come in pieces, are wrong, or are cut short.

use std::time::{Duration, Instant};

use multi_node_it::{HttpPlan, Plan, Program, within};
use rustls::Error;
use rustls::version::{TLS12, TLS13};

use super::authority::Authority;
use super::raw::{REQUEST, Raw};

#[tokio::test]
async fn records_in_pieces_and_together_are_served() {
    within(60, async {
        let authority = Authority::new();
        let program = authority.serving(1).await;
        for version in [&TLS12, &TLS13] {
            let mut client = Raw::connect(&authority, &program, version).await;
            for byte in client.seal(REQUEST) {
                client.send(&[byte]).await;
            }
            client.answers(1).await;
            let two = [client.seal(REQUEST), client.seal(REQUEST)].concat();
            client.send(&two).await;
            client.answers(3).await;
            // A whole record and the half of the next.
            let (first, second) = (client.seal(REQUEST), client.seal(REQUEST));
            let (half, rest) = second.split_at(second.len() / 2);
            client.send(&[&first, half].concat()).await;
            client.answers(4).await;
            client.send(rest).await;
            client.answers(5).await;
        }
        program.stop().await;
    })
    .await;
}

/// Of a record nobody can read a part. Its first byte begins a request nevertheless, as without TLS.
#[tokio::test]
async fn a_part_of_a_record_is_the_beginning_of_a_head() {
    within(30, async {
        let authority = Authority::new();
        let http = HttpPlan { header_timeout: Duration::from_secs(1), ..HttpPlan::default() };
        let program = Program::serving(Plan { http, ..authority.plan(1) }).await;
        let mut idle = Raw::connect(&authority, &program, &TLS13).await;
        let mut client = Raw::connect(&authority, &program, &TLS13).await;
        for client in [&mut idle, &mut client] {
            client.request().await;
            client.answers(1).await;
        }
        let (begun, request) = (Instant::now(), client.seal(REQUEST));
        client.send(&request[..3]).await;
        let (_, ended_well) = client.rest().await.expect("no alert but close_notify");
        assert!(ended_well && begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
        idle.request().await;
        idle.answers(2).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_has_sent_a_part_of_a_record_is_not_idle_in_a_reload() {
    within(30, async {
        let authority = Authority::new();
        let mut program = authority.serving(1).await;
        let mut idle = Raw::connect(&authority, &program, &TLS13).await;
        let mut sends = Raw::connect(&authority, &program, &TLS13).await;
        for client in [&mut idle, &mut sends] {
            client.request().await;
            client.answers(1).await;
        }
        let request = sends.seal(REQUEST);
        let (half, rest) = request.split_at(request.len() / 2);
        sends.send(half).await;
        let reload = program.send("reload").await;
        let (_, ended_well) = idle.rest().await.expect("no alert but close_notify");
        assert!(ended_well, "an idle connection is closed in good order shortly before the drain's end");
        sends.send(rest).await;
        let (received, ended_well) = sends.rest().await.expect("no alert but close_notify");
        assert!(ended_well && received.matches("HTTP/1.1 200").count() == 2, "{received}");
        let answer = program.answer(reload).await;
        assert!(answer["Ok"].is_object(), "{answer}");
        program.stop().await;
    })
    .await;
}

/// What is sent in place of a record, and its name.
fn wrong(record: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, value: u8| {
        let mut changed = record.to_vec();
        changed[at] = value;
        changed
    };
    let last = record.len() - 1;
    let of_length = |length: u16, bytes: usize| [&[23, 3, 3][..], &length.to_be_bytes(), &vec![0; bytes]].concat();
    vec![
        ("changed", changed(last, record[last] ^ 1)),
        ("of no type", changed(0, 99)),
        ("of another version", changed(1, 2)),
        ("cut, and the next behind it", [&record[..last], record, record].concat()),
        ("sent again", [record, record].concat()),
        ("not sealed", of_length(5, 5)),
        ("empty, many times", of_length(0, 0).repeat(1000)),
        ("the longest that rustls reads", of_length(16_384 + 2_048, 16_384 + 2_048)),
        ("too long", of_length(u16::MAX, 70_000)),
        ("change_cipher_spec, many times", [20, 3, 3, 0, 1, 1].repeat(1000)),
        ("an alert that is not sealed", vec![21, 3, 3, 0, 2, 1, 0]),
    ]
}

#[tokio::test]
async fn a_wrong_record_ends_its_connection_with_an_alert_and_no_other() {
    within(60, async {
        let authority = Authority::new();
        let program = authority.serving(1).await;
        for version in [&TLS12, &TLS13] {
            let mut other = Raw::connect(&authority, &program, version).await;
            let cases = wrong(&[0; 64]).len();
            for case in 0..cases {
                let mut client = Raw::connect(&authority, &program, version).await;
                let sealed = client.seal(REQUEST);
                let (name, bytes) = wrong(&sealed).swap_remove(case);
                client.send(&bytes).await;
                // One that is too short to tell waits for more.
                client.shutdown().await;
                let ended = client.rest().await;
                assert!(matches!(ended, Err(Error::AlertReceived(_))), "{name} over {version:?}: {ended:?}");
            }
            other.request().await;
            other.answers(1).await;
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_no_more_gets_its_answer() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(1).await;
        for version in [&TLS12, &TLS13] {
            for (says_so, shuts_down) in [(true, true), (true, false), (false, true)] {
                let mut client = Raw::connect(&authority, &program, version).await;
                let mut bytes = client.seal(REQUEST);
                if says_so {
                    bytes.extend(client.close_notify());
                }
                client.send(&bytes).await;
                if shuts_down {
                    client.shutdown().await;
                }
                let ended = client.rest().await;
                let what = format!("close_notify: {says_so}, FIN: {shuts_down}, {version:?}: {ended:?}");
                let (received, ended_well) = ended.unwrap_or_else(|error| panic!("{error}: {what}"));
                assert!(received.contains("HTTP/1.1 200") && (ended_well || !says_so), "{what}");
            }
            // The end within a record.
            let mut client = Raw::connect(&authority, &program, version).await;
            let sealed = client.seal(REQUEST);
            client.send(&sealed[..sealed.len() - 1]).await;
            client.shutdown().await;
            let received = client.rest().await.map_or_else(|_| String::new(), |(received, _)| received);
            assert_eq!(received, "", "{version:?}");
        }
        program.status_where(|status| status.slots[0].connections == 0).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn new_keys_are_taken_and_a_flood_of_them_ends_its_connection() {
    within(60, async {
        let authority = Authority::new();
        let program = authority.serving(1).await;
        let mut client = Raw::connect(&authority, &program, &TLS13).await;
        for count in 1..=50 {
            let update = [client.update_keys(), client.seal(REQUEST)].concat();
            client.send(&update).await;
            client.answers(count).await;
        }
        let mut flood = Raw::connect(&authority, &program, &TLS13).await;
        let mut updates: Vec<u8> = (0..200).flat_map(|_| flood.update_keys()).collect();
        updates.extend(flood.seal(REQUEST));
        flood.send(&updates).await;
        let received = flood.rest().await.map_or_else(|_| String::new(), |(received, _)| received);
        assert_eq!(received, "", "the request behind the flood is not answered");
        client.request().await;
        client.answers(51).await;
        program.stop().await;
    })
    .await;
}
