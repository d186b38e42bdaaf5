//! Requests with owners behind nginx, which mixes the requests of its clients on the connections that it keeps.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use multi_node_it::port::Held;
use multi_node_it::{Client, Plan, Program, limits, needs, within};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const NODES: usize = 4;

/// Each has a connection to nginx, and a key.
const CLIENTS: usize = 1000;

/// How many of them ask at once where each answer has to come from its owner: fewer than there may be moves under way to one node.
const AT_ONCE: usize = 32;

#[tokio::test]
async fn behind_nginx_each_client_keeps_its_slot_over_a_reload_that_loses_nothing() {
    let Some(with) = needs::server("nginx/with") else { return };
    limits::raise_open_files();
    within(110, async {
        let mut program = Program::serving(Plan { affinity: Some("query=sid".to_owned()), ..Plan::nodes(NODES) }).await;
        let nginx = Nginx::before(program.addr, &with).await;
        let mut clients = Vec::new();
        for key in 0..CLIENTS {
            clients.push((key, Client::connect(nginx.addr).await.expect("nginx takes it")));
        }

        let (clients, before) = settled(&mut program, clients).await;
        let mut shares = [0; NODES];
        before.values().for_each(|slot| shares[usize::from(*slot)] += 1);
        println!("clients of each slot: {shares:?}");
        assert!(shares.iter().all(|share| (200..=300).contains(share)), "{shares:?}");

        let stop = Arc::new(AtomicBool::new(false));
        let asking: Vec<_> = clients.into_iter().map(|client| tokio::spawn(ask_until(stop.clone(), client))).collect();
        program.command("reload").await;
        stop.store(true, Ordering::Relaxed);
        let (mut clients, mut answered) = (Vec::new(), 0);
        for asking in asking {
            let (client, count) = asking.await.expect("no request is lost");
            clients.push(client);
            answered += count;
        }
        println!("{answered} requests were answered meanwhile");

        let (_, after) = settled(&mut program, clients).await;
        assert_eq!(after, before);
        program.stop().await;
    })
    .await;
}

/// A client with its key.
type Keyed = (usize, Client);

async fn ask((key, client): &mut Keyed) -> String {
    let answer = client.get(&format!("/?sid=user-{key}")).await;
    let answer = answer.unwrap_or_else(|error| panic!("client {key}: {error:#}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.id()
}

async fn ask_until(stop: Arc<AtomicBool>, mut client: Keyed) -> (Keyed, u64) {
    let mut answered = 0;
    while answered == 0 || !stop.load(Ordering::Relaxed) {
        ask(&mut client).await;
        answered += 1;
    }
    (client, answered)
}

/// The slot that answers each client, once all nodes agree on it, so that the same nodes answer twice.
async fn settled(program: &mut Program, clients: Vec<Keyed>) -> (Vec<Keyed>, BTreeMap<usize, u16>) {
    let (mut clients, mut ids) = asked(clients).await;
    loop {
        let last = ids;
        (clients, ids) = asked(clients).await;
        if ids == last {
            break;
        }
    }
    let status = program.status_where(|status| status.is_ready() && status.slots.len() == NODES).await;
    let slot_of = |id: &String| {
        let slot = status.slots.iter().find(|slot| slot.id.is_some_and(|own| own.to_string() == *id));
        slot.unwrap_or_else(|| panic!("{id} fills a slot")).slot.0
    };
    (clients, ids.iter().map(|(key, id)| (*key, slot_of(id))).collect())
}

/// Which node has answered each client.
async fn asked(clients: Vec<Keyed>) -> (Vec<Keyed>, BTreeMap<usize, String>) {
    let each = futures_util::stream::iter(clients).map(|mut client| async {
        let id = ask(&mut client).await;
        (client, id)
    });
    let mut clients = Vec::new();
    let mut ids = BTreeMap::new();
    let mut answered = each.buffer_unordered(AT_ONCE);
    while let Some((client, id)) = answered.next().await {
        ids.insert(client.0, id);
        clients.push(client);
    }
    (clients, ids)
}

/// A running nginx, which ends when this is dropped.
struct Nginx {
    addr: SocketAddr,
    _port: Held,
    _process: Child,
    _folder: TempDir,
}

impl Nginx {
    /// In front of this address.
    async fn before(upstream: SocketAddr, with: &str) -> Nginx {
        let (port, folder) = (Held::new().expect("a port"), TempDir::new().expect("a folder"));
        let addr = port.addr();
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configured(addr, upstream)).expect("it can be written");
        let mut nginx = Command::new(with);
        nginx.arg("nginx").arg("-p").arg(folder.path()).arg("-e").arg("stderr").arg("-c").arg(&config);
        let process = nginx.stdin(Stdio::null()).kill_on_drop(true).spawn().expect("nginx starts");
        while Client::connect(addr).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Nginx { addr, _port: port, _process: process, _folder: folder }
    }
}

/// It keeps connections on both sides, and hides no failure by another try.
fn configured(addr: SocketAddr, upstream: SocketAddr) -> String {
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of}; ")).concat();
    format!(
        "daemon off; master_process off; pid pid; error_log stderr error;
         events {{ worker_connections 4096; }}
         http {{
             access_log off; {temporary}
             keepalive_requests 1000000;
             upstream nodes {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}
             server {{
                 listen {addr} backlog=1024;
                 location / {{
                     proxy_pass http://nodes;
                     proxy_http_version 1.1;
                     proxy_set_header Connection \"\";
                     proxy_next_upstream off;
                 }}
             }}
         }}"
    )
}
