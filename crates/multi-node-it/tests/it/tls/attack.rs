//! Clients that keep to no protocol, or do not go on.

use std::time::{Duration, Instant};

use multi_node_it::plan::TlsPlan;
use multi_node_it::{Plan, Program, procfs, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::authority::Authority;
use super::client::Https;

/// One node, with these limits.
async fn serving(authority: &Authority, timeout: Duration, handshakes: usize) -> Program {
    let plan = authority.plan(1);
    let tls = plan.tls.clone().expect("it has TLS");
    let tls = TlsPlan { handshake_timeout: Some(timeout), max_handshakes: Some(handshakes), ..tls };
    Program::serving(Plan { tls: Some(tls), ..plan }).await
}

async fn is_answered(authority: &Authority, program: &Program) {
    let (_, who) = Https::new(authority, "http/1.1").ask(program.addr).await.expect("an answer");
    assert!(who.contains("node-"), "{who}");
}

/// What the server sends until the end, which has to come.
async fn rest(mut client: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = client.read_to_end(&mut rest).await;
    rest
}

#[tokio::test]
async fn what_is_no_handshake_ends_with_an_alert() {
    within(30, async {
        let authority = Authority::new();
        let program = serving(&authority, Duration::from_secs(20), 1024).await;
        let oversized = [&[0x16, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
        let huge_message = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 16_380]].concat();
        let wrong: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
            &oversized,
            &huge_message,
            &[0x17, 3, 3, 0, 3, 1, 2, 3],
            &[0x16, 3, 1, 0, 4, 2, 0, 0, 0],
            &[0; 64],
        ];
        for bytes in wrong {
            let mut client = TcpStream::connect(program.addr).await.expect("a connection");
            // It may be closed before all is written.
            let _ = client.write_all(bytes).await;
            let begin = &bytes[..bytes.len().min(8)];
            let answer = rest(client).await;
            assert!(answer.is_empty() || answer[0] == 0x15, "{begin:?}: {answer:?} is no alert");
        }
        is_answered(&authority, &program).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_ends() {
    within(30, async {
        let authority = Authority::new();
        let program = serving(&authority, Duration::from_secs(1), 1024).await;
        let begun = Instant::now();
        let silent = TcpStream::connect(program.addr).await.expect("a connection");
        let mut slow = TcpStream::connect(program.addr).await.expect("a connection");
        let mut half = TcpStream::connect(program.addr).await.expect("a connection");
        half.write_all(&[0x16, 3, 1]).await.expect("it is open");
        half.shutdown().await.expect("it is open");
        rest(half).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "a client that sends no more needs no time");
        // Each byte in time, and the whole never.
        for byte in [0x16, 3, 1, 2, 0].into_iter().cycle() {
            if slow.write_all(&[byte]).await.is_err() || begun.elapsed() > Duration::from_secs(5) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        rest(slow).await;
        rest(silent).await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_handshakes_is_bounded_and_keeps_nobody_out_over_a_reload() {
    within(60, async {
        const HANDSHAKES: usize = 16;
        let authority = Authority::new();
        let mut program = serving(&authority, Duration::from_secs(50), HANDSHAKES).await;
        let mut flood = Vec::new();
        for number in 0..200 {
            flood.push(TcpStream::connect(program.addr).await.expect("a connection"));
            if number % 20 == 0 {
                is_answered(&authority, &program).await;
            }
        }
        let open = |status: &multi_node::Status| status.slots.iter().map(|slot| slot.connections).sum::<u64>();
        let bounded = |status: &multi_node::Status| open(status) <= HANDSHAKES as u64;
        assert!(open(&program.status_where(bounded).await) > 0, "the last ones have their time");
        let answer = program.command("reload").await;
        assert!(answer["Ok"].is_object(), "{answer}");
        is_answered(&authority, &program).await;
        drop(flood);
        program.status_where(|status| open(status) == 0).await;
        program.stop().await;
    })
    .await;
}

/// How much a handshake under way may take (SECURITY.md): the longest message, and what stands around it.
const EACH: u64 = 100 * 1024;

/// A ClientHello of about the greatest length that rustls takes, but for its last bytes, in records of the greatest length.
fn unfinished_hello() -> Vec<u8> {
    let hello = [&[1, 0, 0xff, 0xf0][..], &[0; 0xffe0]].concat();
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    hello.chunks(1 << 14).flat_map(record).collect()
}

#[tokio::test]
async fn handshakes_under_way_take_bounded_memory() {
    within(60, async {
        const HANDSHAKES: usize = 200;
        let authority = Authority::new();
        let mut program = serving(&authority, Duration::from_secs(50), HANDSHAKES).await;
        is_answered(&authority, &program).await;
        let node = program.pids().await[0];
        let (before, hello) = (procfs::resident(node), unfinished_hello());
        let mut flood = Vec::new();
        for _ in 0..3 * HANDSHAKES {
            let mut client = TcpStream::connect(program.addr).await.expect("a connection");
            client.write_all(&hello).await.expect("it is open");
            flood.push(client);
        }
        program.status_where(|status| status.slots[0].connections <= HANDSHAKES as u64).await;
        let each = || procfs::resident(node).saturating_sub(before) / HANDSHAKES as u64;
        // They hold what they were sent.
        program.until(|| each() >= 64 * 1024).await;
        println!("{} bytes for each of {HANDSHAKES} handshakes", each());
        assert!(each() <= EACH, "{} bytes for each of {HANDSHAKES} handshakes", each());
        is_answered(&authority, &program).await;
        drop(flood);
        program.status_where(|status| status.slots[0].connections == 0).await;
        program.stop().await;
    })
    .await;
}
