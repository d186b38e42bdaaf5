//! WebSocket clients of nodes that publish: what each misses is what `Lagged` told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use multi_node::status::NodeId;
use multi_node_it::audit::Audit;
use multi_node_it::{Plan, Program, within};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::{is_over, plan, publish_in_trouble, seconds};

const CLIENTS: usize = 8;

/// So few messages wait for a client that clients miss some.
const BACKLOG: usize = 1000;

/// How long a number may be on its way before a node publishes another: a subscription whose first event is a gap cannot say where.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// Stays connected to a node, and connects to another when that one ends or closes the WebSocket.
struct Client {
    audit: Arc<Mutex<Audit>>,
    life: JoinHandle<()>,
}

impl Client {
    fn start(addr: SocketAddr) -> Client {
        let audit = Arc::new(Mutex::new(Audit::default()));
        Client { life: tokio::spawn(stay(addr, audit.clone())), audit }
    }

    fn audit(&self) -> MutexGuard<'_, Audit> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn stay(addr: SocketAddr, audit: Arc<Mutex<Audit>>) {
    let audit = || audit.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Ok((mut socket, _)) = connect_async(format!("ws://{addr}/bus/live")).await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        audit().begin();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                audit().note(text.parse().expect("an event"));
            }
        }
    }
}

#[tokio::test]
async fn clients_miss_what_lagged_told_and_nothing_else_over_kills_stops_reloads_and_scaling() {
    const SEED: u64 = 2;
    within(90 + seconds().unwrap_or_default(), async {
        let mut program = Program::serving(Plan { backlog: Some(BACKLOG), ..plan(4) }).await;
        let clients: Vec<_> = (0..CLIENTS).map(|_| Client::start(program.addr)).collect();
        let sum = |of: fn(&Audit) -> u64| clients.iter().map(|client| of(&client.audit())).sum::<u64>();
        let (mut random, begin) = (fastrand::Rng::with_seed(SEED), Instant::now());
        while !is_over(begin, sum(|audit| audit.messages)) {
            publish_in_trouble(&mut program, &mut random).await;
            all_have_all(&mut program, &clients).await;
        }
        let [messages, lagged, connections] =
            [sum(|audit| audit.messages), sum(|audit| audit.lagged), sum(|audit| audit.subscriptions)];
        println!("{messages} deliveries, {lagged} missed and told, {connections} connections");
        assert!(lagged > 0, "nobody missed anything, so nothing had to be told");
        clients.iter().for_each(|client| client.life.abort());
        program.stop().await;
    })
    .await;
}

/// Each node publishes one more number. Once a client has it, nothing before it can come.
async fn all_have_all(program: &mut Program, clients: &[Client]) {
    for slot in program.status().await.slots {
        let id = slot.id.expect("it serves");
        let mut node = program.connected_to(&id.to_string()).await;
        while !all_have(clients, id, node.get("/bus/count/1").await.expect("an answer").body.trim()).await {}
    }
    for client in clients {
        assert_eq!(client.audit().wrong, [""; 0], "{:?}", client.audit());
    }
}

async fn all_have(clients: &[Client], id: NodeId, number: &str) -> bool {
    let (number, begin) = (number.parse().expect("a number"), Instant::now());
    while begin.elapsed() < ON_ITS_WAY {
        if clients.iter().all(|client| client.audit().has(id, number)) {
            return true;
        }
        sleep(Duration::from_millis(1)).await;
    }
    false
}
