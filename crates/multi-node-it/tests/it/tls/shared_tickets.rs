//! Keys of session tickets that several machines share.

use std::os::unix::fs::PermissionsExt;

use multi_node_it::plan::TlsPlan;
use multi_node_it::{Program, within};
use rustls::HandshakeKind::{Full, Resumed};
use serde_json::Value;

use super::authority::Authority;
use super::client::Https;

const FILE: &str = "tickets";

fn put(authority: &Authority, keys: &[&str]) {
    let new = authority.path("tickets.new");
    std::fs::write(&new, keys.iter().map(|key| key.repeat(32) + "\n").collect::<String>()).expect("a file of ours");
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).expect("a file of ours");
    std::fs::rename(new, authority.path(FILE)).expect("a file of ours");
}

/// A program, as there is one on each machine.
async fn machine(authority: &Authority) -> Program {
    let tls = TlsPlan { ticket_keys: Some(authority.path(FILE)), ..TlsPlan::default() };
    Program::serving(authority.plan_of(1, tls)).await
}

/// The errors of a reload, which reads the file.
async fn reload(program: &mut Program) -> Vec<Value> {
    let answer = program.command("reload").await;
    answer["Ok"]["certificate_errors"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

#[tokio::test]
async fn a_client_resumes_at_another_machine_while_the_keys_are_renewed() {
    within(60, async {
        let authority = Authority::new();
        put(&authority, &["01"]);
        let (mut first, mut second) = (machine(&authority).await, machine(&authority).await);
        let client = Https::new(&authority, "http/1.1");
        let kind = async |program: &Program| client.ask(program.addr).await.expect("an answer").0;
        assert_eq!((kind(&first).await, kind(&second).await), (Full, Resumed));

        // A new key is first known to all, then seals, and then the old one goes.
        put(&authority, &["01", "02"]);
        assert_eq!(reload(&mut first).await, [""; 0]);
        assert_eq!(reload(&mut second).await, [""; 0]);
        put(&authority, &["02", "01"]);
        assert_eq!(reload(&mut first).await, [""; 0]);
        assert_eq!(
            (kind(&first).await, kind(&second).await),
            (Resumed, Resumed),
            "the second seals by the old key still"
        );
        assert_eq!(reload(&mut second).await, [""; 0]);
        assert_eq!(kind(&second).await, Resumed);

        put_exposed(&authority);
        let errors = reload(&mut first).await;
        assert!(errors[0].as_str().is_some_and(|error| error.contains("mode 644")), "{errors:?}");
        assert_eq!((kind(&first).await, kind(&second).await), (Resumed, Resumed), "the keys before stay");
        // What the error asks for is enough.
        std::fs::set_permissions(authority.path(FILE), PermissionsExt::from_mode(0o600)).expect("a file of ours");
        first.status_where(|status| status.certificates[0].error.is_none()).await;
        assert_eq!(kind(&first).await, Full, "the new keys are in force");

        put(&authority, &["03"]);
        assert_eq!(reload(&mut first).await, [""; 0]);
        assert_eq!(kind(&first).await, Full, "the old keys are gone");
        first.stop().await;
        second.stop().await;
    })
    .await;
}

/// Other keys, which everybody may read.
fn put_exposed(authority: &Authority) {
    put(authority, &["04"]);
    std::fs::set_permissions(authority.path(FILE), PermissionsExt::from_mode(0o644)).expect("a file of ours");
}
