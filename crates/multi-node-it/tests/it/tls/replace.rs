//! Certificates are replaced without a restart, and bad ones are not taken.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;

use multi_node_it::plan::TlsPlan;
use multi_node_it::{Plan, Program, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::authority::Authority;
use super::client::{Clients, Https};

/// The certificate that a new client gets.
async fn certificate(authority: &Authority, addr: SocketAddr) -> Vec<u8> {
    let stream = Https::new(authority, "http/1.1").connect(addr).await.expect("a connection");
    stream.get_ref().1.peer_certificates().expect("the handshake is done")[0].to_vec()
}

/// Waits until every one of several new clients gets another certificate.
async fn until_other(authority: &Authority, program: &Program, before: &[u8]) {
    let mut others = 0;
    while others < 8 {
        let is_other = certificate(authority, program.addr).await != before;
        others = if is_other { others + 1 } else { 0 };
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_certificate_comes_into_force_under_load_without_a_reload() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(2).await;
        let before = certificate(&authority, program.addr).await;
        let mut open = Https::new(&authority, "http/1.1").connect(program.addr).await.expect("a connection");
        let clients = Clients::begin(&authority, &program, 4);
        clients.go_on(50).await;
        authority.issue("another");
        until_other(&authority, &program, &before).await;
        clients.go_on(50).await;
        assert!(clients.end().await > 100);
        open.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
        assert!(open.read(&mut [0; 1024]).await.expect("an answer") > 0, "connections are not touched");
        let status = program.status_where(|status| status.certificates[0].names.contains(&"another".to_owned())).await;
        assert_eq!(status.certificates[0].error, None);
        assert!(status.slots.iter().all(|slot| slot.generation.number() == 0), "there was no reload");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_a_new_certificate() {
    within(60, async {
        let authority = Authority::new();
        for (folder, name) in [("first", "one"), ("second", "two")] {
            std::fs::create_dir(authority.path(folder)).expect("a folder");
            let (cert, key) = authority.make(name);
            authority.put(&format!("{folder}/cert.pem"), &cert);
            authority.put(&format!("{folder}/key.pem"), &key);
        }
        symlink("first", authority.path("current")).expect("a link");
        let tls = TlsPlan {
            cert: authority.path("current/cert.pem"),
            key: authority.path("current/key.pem"),
            ..TlsPlan::default()
        };
        let program = Program::serving(Plan { tls: Some(tls), ..Plan::nodes(2) }).await;
        let before = certificate(&authority, program.addr).await;
        symlink("second", authority.path("next")).expect("a link");
        std::fs::rename(authority.path("next"), authority.path("current")).expect("ours");
        until_other(&authority, &program, &before).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_bad_pair_leaves_the_one_before_in_force_and_fails_the_reload() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(2).await;
        let before = certificate(&authority, program.addr).await;
        let (cert, _) = authority.make("another");
        authority.put("cert.pem", &cert);
        let answer = program.command("reload").await;
        let why = answer["Err"]["failed"]["why"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(why.contains("does not belong to the first certificate in"), "{why}");
        let status = program.status_where(|status| status.certificates[0].error.is_some()).await;
        assert!(status.slots.iter().all(|slot| slot.generation.number() == 0), "no node was started");
        assert!(program.log().contains("those before stay in force"), "{}", program.log());
        assert_eq!(certificate(&authority, program.addr).await, before);
        authority.issue("third");
        let answer = program.command("reload").await;
        assert!(answer["Ok"].is_object(), "{answer}");
        assert_ne!(certificate(&authority, program.addr).await, before);
        program.status_where(|status| status.certificates[0].error.is_none()).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_pair_that_is_being_written_is_no_error() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(1).await;
        let before = certificate(&authority, program.addr).await;
        std::fs::write(authority.path("cert.pem"), "").expect("a file of ours");
        // Written by a program that takes its time, but less than the time between two looks.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        authority.issue("another");
        until_other(&authority, &program, &before).await;
        let status = program.status().await;
        assert_eq!(status.certificates[0].error, None);
        assert!(!program.log().contains("stay in force"), "{}", program.log());
        program.stop().await;
    })
    .await;
}
