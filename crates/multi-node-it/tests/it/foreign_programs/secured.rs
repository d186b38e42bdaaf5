//! How machines and a real NATS server know each other, what a machine may do there, and how it shows what is refused.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;

use multi_node_bus::{Bus, BusLimits};
use multi_node_fleet::id::NodeId;
use multi_node_fleet::status::GatewayStatus;
use multi_node_it::nats::NatsServer;
use multi_node_it::within;
use multi_node_nats::{Join, Machine, Seen, run};
use nkeys::KeyPair;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::jwt;
use crate::tls::authority::Authority;

/// A gateway in this process.
struct TestGateway {
    task: JoinHandle<()>,
    state: watch::Receiver<GatewayStatus>,
}

impl TestGateway {
    fn start(join: Join) -> TestGateway {
        let bus = Bus::new(NodeId::GATEWAY, BusLimits::default());
        bus.members_complete();
        let (seen, (told, master)) = (Seen::default(), mpsc::channel(1));
        let (state, machine) = (seen.status.subscribe(), join.cluster_or("test").expect("a name"));
        let machine = Machine { cluster: machine, name: "alpha".to_owned(), epoch: 7 };
        let task = tokio::spawn(async move {
            let _kept = told;
            run(&join, &machine, bus, (Vec::new(), master), &seen).await.expect("it goes on for ever");
        });
        TestGateway { task, state }
    }

    async fn is(&mut self, holds: impl FnMut(&GatewayStatus) -> bool) -> GatewayStatus {
        within(30, self.state.wait_for(holds)).await.expect("the gateway lives").clone()
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The server lets it in, and refuses nothing.
async fn joins(join: Join) {
    let joined = TestGateway::start(join).is(|status| status.connected).await;
    assert_eq!(joined.error, None);
}

/// The status says why it is not let in, and never that it is.
async fn is_refused(join: Join, because: &str) {
    let shows = |status: &GatewayStatus| status.error.is_some() || status.connected;
    let status = TestGateway::start(join).is(shows).await;
    let error = status.error.clone().unwrap_or_default();
    assert!(!status.connected && error.contains(because), "{because:?} expected, and not {status:?}");
    assert!(!error.contains("secret"), "{error}");
}

async fn started(server: NatsServer) -> NatsServer {
    let mut server = server;
    server.start().await;
    server
}

/// A server with a certificate of this authority.
fn with_tls(authority: &Authority, more: &str, rest: &str) -> Option<NatsServer> {
    let server = NatsServer::new()?;
    authority.issue(&server.addr().ip().to_string());
    let file = |name: &str| authority.path(name).display().to_string();
    let (cert, key, ca) = (file("cert.pem"), file("key.pem"), file("ca.pem"));
    Some(
        server.configured(format!(
            "tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", {more} }}\n{rest}"
        )),
    )
}

/// The address with this before the host.
fn url(scheme: &str, user: &str, server: &NatsServer) -> String {
    format!("{scheme}://{user}{}", server.addr())
}

#[tokio::test]
async fn a_server_is_known_by_its_authority_and_a_user_by_a_password() {
    let (ours, other) = (Authority::new(), Authority::new());
    let users = r#"authorization { users: [{ user: "me", password: "secr@t" }] }"#;
    let Some(server) = with_tls(&ours, "", users) else { return };
    let server = started(server).await;
    let of = |user: &str, authority: &Authority| {
        Join::new(url("tls", user, &server)).root_certificates(authority.path("ca.pem"))
    };
    joins(of("me:secr%40t@", &ours)).await;
    is_refused(of("me:secr%40t@", &other), "invalid peer certificate").await;
    is_refused(Join::new(url("tls", "me:secr%40t@", &server)), "invalid peer certificate").await;
    is_refused(of("me:secret@", &ours), "authorization violation").await;
    is_refused(of("", &ours), "authorization violation").await;
    // A server that has no TLS does not get the password.
    let Some(plain) = NatsServer::new() else { return };
    let plain = started(plain).await;
    is_refused(Join::new(url("tls", "me:secret@", &plain)).root_certificates(ours.path("ca.pem")), "corrupt message")
        .await;
}

#[tokio::test]
async fn a_machine_is_known_by_its_certificate() {
    let (ours, other) = (Authority::new(), Authority::new());
    let users = r#"authorization { users: [{ user: "alpha" }] }"#;
    let Some(server) = with_tls(&ours, "verify_and_map: true", users) else { return };
    let server = started(server).await;
    let of = |authority: &Authority, name: &str| {
        let (cert, key) = authority.make(name);
        authority.put(&format!("{name}.pem"), &cert);
        authority.put(&format!("{name}.key"), &key);
        let join = Join::new(url("tls", "", &server)).root_certificates(ours.path("ca.pem"));
        join.client_certificate(authority.path(&format!("{name}.pem")), authority.path(&format!("{name}.key")))
    };
    joins(of(&ours, "alpha")).await;
    is_refused(of(&ours, "mallory"), "authorization violation").await;
    is_refused(of(&other, "alpha"), "").await;
    is_refused(Join::new(url("tls", "", &server)).root_certificates(ours.path("ca.pem")), "").await;
}

/// A file with a secret.
fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("a file of ours");
    path
}

#[tokio::test]
async fn a_user_is_known_by_an_nkey() {
    let (folder, known, other) = (tempfile::tempdir().expect("a folder"), KeyPair::new_user(), KeyPair::new_user());
    let Some(server) = NatsServer::new() else { return };
    let users = format!("authorization {{ users: [{{ nkey: {} }}] }}", known.public_key());
    let server = started(server.configured(users)).await;
    let of = |name: &str, seed: &str| Join::new(server.url()).nkey(file(&folder, name, seed));
    joins(of("known", &format!("{}\n", known.seed().expect("a seed")))).await;
    is_refused(of("other", &other.seed().expect("a seed")), "authorization violation").await;
    is_refused(of("none", "secret"), "failed signing nonce").await;
    is_refused(Join::new(server.url()), "authorization violation").await;
}

#[tokio::test]
async fn a_user_is_known_by_a_credentials_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let Some(server) = NatsServer::new() else { return };
    let server = started(server.configured(jwt::trusting(&operator, &account))).await;
    let of = |name: &str, text: &str| Join::new(server.url()).credentials(file(&folder, name, text));
    let allowed = ["mn.test.>"];
    joins(of("known", &jwt::credentials(&account, &allowed))).await;
    is_refused(of("stranger", &jwt::credentials(&KeyPair::new_account(), &allowed)), "authorization violation").await;
    is_refused(Join::new(server.url()), "authorization violation").await;
    let mut elsewhere = TestGateway::start(of("elsewhere", &jwt::credentials(&account, &["mn.other.>"])));
    let status = elsewhere.is(|status| status.error.is_some()).await;
    let error = status.error.expect("one");
    assert!(error.starts_with("NATS refuses something: ") && error.contains("mn.test."), "{error}");
}

#[tokio::test]
async fn frames_of_another_version_are_counted_and_shown() {
    let Some(server) = NatsServer::new() else { return };
    let server = started(server).await;
    let mut gateway = TestGateway::start(Join::new(server.url()));
    gateway.is(|status| status.connected).await;
    let mut stream = TcpStream::connect(server.addr()).expect("it listens");
    // Twice: the subscription of the gateway may come after the first.
    let (mut published, mut shown) = (0_u64, gateway.state.borrow().clone());
    while shown.bad_frames == 0 {
        let lines =
            ["CONNECT {\"verbose\":false}\r\nPUB mn.test.i 3\r\n\u{2}\u{1}a\r\n", "PUB mn.test.i 3\r\n\u{2}\u{1}a\r\n"];
        stream.write_all(lines[usize::from(published > 0)].as_bytes()).expect("it reads");
        published += 1;
        let changed = tokio::time::timeout(std::time::Duration::from_millis(200), gateway.state.changed()).await;
        assert!(!matches!(changed, Ok(Err(_))), "the gateway lives");
        shown = gateway.state.borrow().clone();
    }
    assert!(shown.bad_frames <= published && shown.machines == 0, "{shown:?}");
    let error = "a program in this cluster's subjects has sent a frame of version 2, and this program speaks 1";
    assert_eq!(shown.error.as_deref(), Some(error));
}
