//! Returning clients resume their sessions at any node.

use std::collections::BTreeSet;

use multi_node_it::{Program, within};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::authority::Authority;
use super::client::Https;

const CLIENTS: usize = 40;

/// All clients come once; how many have resumed, and who has answered.
async fn come(clients: &[Https], program: &Program) -> (usize, BTreeSet<String>) {
    let (mut resumed, mut answered) = (0, BTreeSet::new());
    for client in clients {
        let (kind, who) = client.ask(program.addr).await.expect("an answer");
        resumed += usize::from(kind == HandshakeKind::Resumed);
        let who: serde_json::Value = serde_json::from_str(&who).expect("JSON");
        answered.insert(who["id"].to_string());
    }
    (resumed, answered)
}

async fn sessions_go_on(version: &'static rustls::SupportedProtocolVersion) {
    let authority = Authority::new();
    let mut program = authority.serving(4).await;
    let clients: Vec<_> = (0..CLIENTS).map(|_| Https::of(&authority, "http/1.1", &[version])).collect();
    assert_eq!(come(&clients, &program).await.0, 0, "nobody has a session yet");
    let (resumed, answered) = come(&clients, &program).await;
    assert!(resumed >= CLIENTS - 1 && answered.len() > 1, "{resumed} of {CLIENTS} at {answered:?}");
    let report = program.command("reload").await;
    assert!(report["Ok"].is_object(), "{report}");
    let (resumed, later) = come(&clients, &program).await;
    assert!(resumed >= CLIENTS - 1, "{resumed} of {CLIENTS} over a reload");
    assert!(answered.is_disjoint(&later), "{answered:?} and {later:?} are the same nodes");
    program.upgrade().await.expect("an upgrade");
    let (resumed, _) = come(&clients, &program).await;
    assert!(resumed >= CLIENTS - 1, "{resumed} of {CLIENTS} over an upgrade");
    program.stop().await;
}

#[tokio::test]
async fn sessions_of_tls_1_3_are_resumed_at_any_node_over_reload_and_upgrade() {
    within(60, sessions_go_on(&TLS13)).await;
}

#[tokio::test]
async fn sessions_of_tls_1_2_are_resumed_at_any_node_over_reload_and_upgrade() {
    within(60, sessions_go_on(&TLS12)).await;
}
