//! Clients that show certificates.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use multi_node::commands::ReloadReport;
use multi_node_it::plan::TlsPlan;
use multi_node_it::{Program, within};
use rustls::HandshakeKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authority::Authority;
use super::client::Https;

/// A program of this authority, whose clients show certificates of another one.
async fn serving(authority: &Authority, nodes: usize, clients: &Authority, required: bool) -> Program {
    let client_authority = Some((clients.path("ca.pem"), required));
    Program::serving(authority.plan_of(nodes, TlsPlan { client_authority, ..TlsPlan::default() })).await
}

/// What the service knows of the connection.
async fn seen(client: &Https, addr: SocketAddr) -> Value {
    let (_, who) = client.ask(addr).await.expect("an answer");
    let mut who: Value = serde_json::from_str(&who).expect("JSON");
    who["tls"].take()
}

async fn reload(program: &mut Program) -> ReloadReport {
    let answer = program.command("reload").await;
    ReloadReport::deserialize(&answer["Ok"]).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[tokio::test]
async fn a_service_knows_its_clients_over_a_reload() {
    within(60, async {
        let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
        let mut program = serving(&authority, 2, &clients, true).await;
        let jane = Https::showing(&authority, &clients.make("jane"));
        let identity = json!({ "common_name": "jane", "dns": ["jane", "localhost"] });
        let full = json!({
            "version": "V1_3", "protocol": "http/1.1", "server_name": "localhost", "resumed": false, "client": identity,
        });
        assert_eq!(seen(&jane, program.addr).await, full);
        let mut resumed = full.clone();
        resumed["resumed"] = true.into();
        assert_eq!(seen(&jane, program.addr).await, resumed, "the identity is in the session");
        Https::new(&authority, "http/1.1").ask(program.addr).await.expect_err("it has no certificate");
        let stranger = Https::showing(&authority, &strangers.make("jane"));
        stranger.ask(program.addr).await.expect_err("its certificate is of another authority");
        reload(&mut program).await;
        assert_eq!(seen(&jane, program.addr).await, resumed);
        let john = Https::showing(&authority, &clients.make("john"));
        assert_eq!(seen(&john, program.addr).await["client"]["common_name"], "john");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_a_client_may_be_optional() {
    within(60, async {
        let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
        let program = serving(&authority, 1, &clients, false).await;
        assert_eq!(seen(&Https::new(&authority, "http/1.1"), program.addr).await["client"], Value::Null);
        let jane = Https::showing(&authority, &clients.make("jane"));
        assert_eq!(seen(&jane, program.addr).await["client"]["common_name"], "jane");
        let stranger = Https::showing(&authority, &strangers.make("jane"));
        stranger.ask(program.addr).await.expect_err("it is of another authority");
        program.stop().await;
    })
    .await;
}

/// rustls resumes sessions without another look at the certificate: the session must end with the authority.
#[tokio::test]
async fn another_authority_is_in_force_for_those_who_return_too() {
    within(60, async {
        let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
        let mut program = serving(&authority, 2, &clients, true).await;
        let jane = Https::showing(&authority, &clients.make("jane"));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            assert_eq!(jane.ask(program.addr).await.expect("an answer").0, expected);
        }
        clients.put("ca.pem", "no certificate");
        let errors = reload(&mut program).await.certificate_errors;
        assert!(errors.len() == 1 && errors[0].contains("ca.pem has no certificate"), "{errors:?}");
        assert_eq!(jane.ask(program.addr).await.expect("an answer").0, HandshakeKind::Resumed, "nothing has changed");

        let pem = std::fs::read_to_string(others.path("ca.pem")).expect("a file of ours");
        clients.put("ca.pem", &pem);
        assert_eq!(reload(&mut program).await.certificate_errors, [""; 0]);
        jane.ask(program.addr).await.expect_err("her authority is no longer one");
        let john = Https::showing(&authority, &others.make("john"));
        assert_eq!(seen(&john, program.addr).await["client"]["common_name"], "john");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_with_the_certificate_that_it_began_with() {
    within(60, async {
        let (authority, clients) = (Authority::new(), Authority::new());
        let program = serving(&authority, 1, &clients, true).await;
        let (time, begun) = (Duration::from_secs(4), Instant::now());
        let jane = Https::showing(&authority, &clients.make_for("jane", time));
        assert_eq!(jane.ask(program.addr).await.expect("an answer").0, HandshakeKind::Full);
        assert_eq!(jane.ask(program.addr).await.expect("an answer").0, HandshakeKind::Resumed);
        // Its end counts in whole seconds.
        tokio::time::sleep((time + Duration::from_secs(2)).saturating_sub(begun.elapsed())).await;
        jane.ask(program.addr).await.expect_err("her certificate has expired");
        program.stop().await;
    })
    .await;
}
