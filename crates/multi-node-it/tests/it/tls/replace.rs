//! Certificates are replaced without a restart, and bad ones are not taken.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;

use multi_node::commands::ReloadReport;
use multi_node_it::plan::TlsPlan;
use multi_node_it::{Fault, Plan, Program, within};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::authority::Authority;
use super::client::{Clients, Https};

/// The certificate that a new client gets.
async fn certificate(authority: &Authority, addr: SocketAddr) -> Vec<u8> {
    let stream = Https::new(authority, "http/1.1").connect(addr).await.expect("a connection");
    stream.get_ref().1.peer_certificates().expect("the handshake is done")[0].to_vec()
}

async fn reloaded(program: &mut Program) -> ReloadReport {
    let answer = program.command("reload").await;
    ReloadReport::deserialize(&answer["Ok"]).unwrap_or_else(|error| panic!("{error}: {answer}"))
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
async fn a_bad_pair_leaves_the_one_before_in_force_is_reported_and_blocks_no_reload() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(2).await;
        let before = certificate(&authority, program.addr).await;
        let (cert, _) = authority.make("another");
        authority.put("cert.pem", &cert);
        let report = reloaded(&mut program).await;
        let errors = report.certificate_errors.join("\n");
        assert!(errors.contains("does not belong to the first certificate in"), "{report}");
        let status = program.status_where(|status| status.certificates[0].error.is_some()).await;
        assert!(status.slots.iter().all(|slot| slot.generation.number() == 1), "the code is replaced: {status:?}");
        assert!(program.log().contains("what they had before stays in force"), "{}", program.log());
        assert_eq!(certificate(&authority, program.addr).await, before);
        authority.issue("third");
        assert_eq!(reloaded(&mut program).await.certificate_errors, [""; 0]);
        assert_ne!(certificate(&authority, program.addr).await, before);
        program.status_where(|status| status.certificates[0].error.is_none()).await;
        program.stop().await;
    })
    .await;
}

/// A program starts with its files alone, so an upgrade needs good ones.
#[tokio::test]
async fn an_upgrade_with_a_bad_pair_changes_nothing() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(1).await;
        let before = certificate(&authority, program.addr).await;
        authority.put("key.pem", "no key");
        let answer = program.command("upgrade").await;
        let why = answer["Err"].to_string();
        assert!(why.contains("has no private key"), "{answer}");
        let status = program.status().await;
        assert!(status.slots.iter().all(|slot| slot.generation.number() == 0), "no node was started: {status:?}");
        assert_eq!(certificate(&authority, program.addr).await, before);
        program.stop().await;
    })
    .await;
}

/// The new nodes have begun under the master before, which has read other files.
#[tokio::test]
async fn after_an_upgrade_all_nodes_have_the_files_of_the_new_program() {
    within(60, async {
        let authority = Authority::new();
        let mut program = authority.serving(2).await;
        let before = certificate(&authority, program.addr).await;
        let (cert, key) = authority.make("other");
        authority.put("other-cert.pem", &cert);
        authority.put("other-key.pem", &key);
        Fault::OtherCertificate.lay(&program.faults());
        program.upgrade().await.expect("an upgrade");
        until_other(&authority, &program, &before).await;
        let status = program.status_where(|status| !status.certificates.is_empty()).await;
        assert!(status.certificates[0].file.ends_with("other-cert.pem"), "{status:?}");
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
