//! Gateways of several machines at a real NATS server: each machine is a bus of one process and one of its gateway.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use multi_node_bus::{Bus, BusLimits, Event, Payload, RawTopic, Request, Subscription};
use multi_node_fleet::id::{NodeId, Slot};
use multi_node_fleet::status::GatewayStatus;
use multi_node_it::nats::NatsServer;
use multi_node_it::within;
use multi_node_nats::{Asked, Join, Machine, SESSIONS, Seen, SessionAnswer, SessionAsk, run};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long nothing more has to come, where a test says that nothing does.
const QUIET: Duration = Duration::from_millis(300);

struct TestMachine {
    name: &'static str,
    join: Join,
    node: Bus,
    epochs: Arc<AtomicU64>,
    gateway: JoinHandle<()>,
    state: watch::Receiver<GatewayStatus>,
}

impl TestMachine {
    fn start(name: &'static str, server: &NatsServer) -> TestMachine {
        let node = Bus::new(NodeId::node(1), BusLimits::default());
        node.joined(NodeId::node(1), Some(Slot(0)), true);
        node.members_complete();
        let (epochs, join) = (Arc::new(AtomicU64::new(0)), Join::new(server.url()));
        let (gateway, state) = gateway(name, &join, &node, &epochs);
        TestMachine { name, join, node, epochs, gateway, state }
    }

    /// Kills the gateway and starts another.
    fn restart_gateway(&mut self) {
        self.gateway.abort();
        self.node.gone(NodeId::GATEWAY);
        (self.gateway, self.state) = gateway(self.name, &self.join, &self.node, &self.epochs);
    }

    async fn is(&mut self, holds: impl FnMut(&GatewayStatus) -> bool) {
        within(30, self.state.wait_for(holds)).await.expect("the gateway lives");
    }

    fn topic(&self) -> RawTopic {
        self.node.topic("news").expect("a topic")
    }

    /// Publishes when other processes subscribe: through the gateway, other machines.
    async fn publish_when_followed(&self, text: &str) {
        let topic = self.topic();
        within(30, async {
            while !topic.subscribers().contains(&NodeId::GATEWAY) {
                topic.subscribers_changed().await;
            }
        })
        .await;
        topic.publish(Payload::text(text)).expect("published");
    }
}

fn gateway(
    name: &str,
    join: &Join,
    node: &Bus,
    epochs: &Arc<AtomicU64>,
) -> (JoinHandle<()>, watch::Receiver<GatewayStatus>) {
    let bus = Bus::new(NodeId::GATEWAY, BusLimits::default());
    bus.joined(NodeId::node(1), Some(Slot(0)), true);
    bus.members_complete();
    node.joined(NodeId::GATEWAY, None, true);
    let (seen, (told, master)) = (Seen::default(), mpsc::channel(1));
    let state = seen.status.subscribe();
    let links =
        [make_links(node.clone(), bus.clone(), epochs.clone()), make_links(bus.clone(), node.clone(), epochs.clone())];
    let (join, machine) = (join.clone(), Machine { cluster: "test".to_owned(), name: name.to_owned(), epoch: 7 });
    let task = tokio::spawn(async move {
        let _kept = (links, told);
        run(&join, &machine, bus, (Vec::new(), master), &seen).await.expect("it goes on for ever");
    });
    (task, state)
}

/// Makes the links that this bus wants to the other.
fn make_links(bus: Bus, other: Bus, epochs: Arc<AtomicU64>) -> Aborts {
    let mut wanted = bus.wanted();
    Aborts(tokio::spawn(async move {
        loop {
            let peer = wanted.recv().await.peer;
            let epoch = epochs.fetch_add(1, Ordering::Relaxed) + 1;
            let (one, two) = UnixStream::pair().expect("a pair");
            bus.attach(peer, epoch, one).expect("registered");
            other.attach(bus.me(), epoch, two).expect("registered");
        }
    }))
}

struct Aborts(JoinHandle<()>);

impl Drop for Aborts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn next(subscription: &mut Subscription) -> Event {
    within(30, subscription.recv()).await
}

/// The texts and gaps until this text comes.
async fn until(subscription: &mut Subscription, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    while all.last().is_none_or(|text| text != last) {
        all.push(match next(subscription).await {
            Event::Message { payload, .. } => payload.as_text().into_owned(),
            Event::Lagged { missed, .. } => format!("missed {missed}"),
        });
    }
    all
}

async fn server() -> Option<NatsServer> {
    let mut server = NatsServer::new()?;
    server.start().await;
    Some(server)
}

#[tokio::test]
async fn messages_cross_both_ways_once_and_name_their_machine() {
    let Some(server) = server().await else { return };
    let (alpha, beta) = (TestMachine::start("alpha", &server), TestMachine::start("beta", &server));
    let mut at_alpha = alpha.topic().subscribe().await;
    let mut at_beta = beta.topic().subscribe().await;
    alpha.publish_when_followed("from alpha").await;
    beta.publish_when_followed("from beta").await;
    for (machine, subscription) in [(&alpha, &mut at_alpha), (&beta, &mut at_beta)] {
        let mut texts = Vec::new();
        while texts.len() < 2 {
            let Event::Message { from, payload } = next(subscription).await else { panic!("a gap") };
            let sender = machine.node.remote(from).map_or("here".to_owned(), |process| process.to_string());
            texts.push(format!("{} of {sender}", payload.as_text()));
        }
        texts.sort();
        let expected = match machine.name {
            "alpha" => ["from alpha of here", "from beta of beta/0#7.1"],
            _ => ["from alpha of alpha/0#7.1", "from beta of here"],
        };
        assert_eq!(texts, expected);
        assert!(timeout(QUIET, subscription.recv()).await.is_err(), "nothing comes twice");
    }
}

#[tokio::test]
async fn what_a_killed_gateway_loses_shows_as_a_gap_and_local_messages_go_on() {
    let Some(server) = server().await else { return };
    let (mut alpha, mut beta) = (TestMachine::start("alpha", &server), TestMachine::start("beta", &server));
    let mut at_alpha = alpha.topic().subscribe().await;
    let mut at_beta = beta.topic().subscribe().await;
    alpha.publish_when_followed("first").await;
    assert_eq!(until(&mut at_beta, "first").await, ["first"]);
    alpha.restart_gateway();
    for _ in 0..3 {
        alpha.topic().publish(Payload::text("lost")).expect("published");
    }
    sleep(QUIET).await;
    alpha.publish_when_followed("second").await;
    let seen = until(&mut at_beta, "second").await;
    assert_eq!(seen, ["missed 3", "second"], "told by the number of the publisher");
    beta.restart_gateway();
    alpha.topic().publish(Payload::text("lost")).expect("published");
    beta.is(|state| state.connected).await;
    assert_eq!(accounted(&mut at_beta).await, 1, "the only message is lost, or comes");
    assert_eq!(until(&mut at_alpha, "second").await, ["first", "lost", "lost", "lost", "second"]);
    alpha.is(|state| state.connected).await;
}

/// How many messages the next event stands for.
async fn accounted(subscription: &mut Subscription) -> u64 {
    match next(subscription).await {
        Event::Message { .. } => 1,
        Event::Lagged { missed, .. } => missed,
    }
}

#[tokio::test]
async fn a_machine_without_nats_is_on_its_own_and_joins_later_and_again() {
    let Some(mut server) = NatsServer::new() else { return };
    let (mut alpha, mut beta) = (TestMachine::start("alpha", &server), TestMachine::start("beta", &server));
    let mut at_alpha = alpha.topic().subscribe().await;
    let mut at_beta = beta.topic().subscribe().await;
    alpha.topic().publish(Payload::text("alone")).expect("published");
    assert_eq!(until(&mut at_alpha, "alone").await, ["alone"]);
    server.start().await;
    alpha.publish_when_followed("joined").await;
    assert_eq!(until(&mut at_beta, "joined").await, ["joined"]);
    server.kill();
    alpha.is(|state| !state.connected).await;
    beta.is(|state| !state.connected).await;
    for _ in 0..5 {
        alpha.topic().publish(Payload::text("cut")).expect("published");
    }
    assert_eq!(until(&mut at_alpha, "cut").await, ["joined", "cut"]);
    server.start().await;
    assert_eq!(accounted(&mut at_beta).await, 5, "the numbers are repeated when NATS is back");
    alpha.publish_when_followed("again").await;
    assert_eq!(until(&mut at_beta, "again").await, ["again"]);
}

#[tokio::test]
async fn a_flood_comes_or_shows_as_missing() {
    const MESSAGES: u64 = 50_000;
    let Some(server) = server().await else { return };
    let (alpha, beta) = (TestMachine::start("alpha", &server), TestMachine::start("beta", &server));
    let mut at_beta = beta.topic().subscribe().await;
    alpha.publish_when_followed("first").await;
    assert_eq!(until(&mut at_beta, "first").await, ["first"]);
    let topic = alpha.topic();
    tokio::spawn(async move {
        for _ in 0..MESSAGES {
            topic.publish(Payload::bytes(vec![7; 512])).expect("published");
            tokio::task::yield_now().await;
        }
    });
    let mut seen = 0;
    while seen < MESSAGES {
        seen += accounted(&mut at_beta).await;
    }
    assert_eq!(seen, MESSAGES);
    assert!(timeout(QUIET, at_beta.recv()).await.is_err(), "nothing comes twice");
}

/// Sends when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        // An error means that the test is over.
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_request_to_another_machine_that_nobody_awaits_any_longer_ends_there() {
    let Some(server) = server().await else { return };
    let (mut alpha, mut beta) = (TestMachine::start("alpha", &server), TestMachine::start("beta", &server));
    let (dropped, mut is_dropped) = mpsc::unbounded_channel();
    let (begun, mut has_begun) = mpsc::channel(1);
    let handler = move |request: Request| {
        let (dropped, begun) = (Dropped(dropped.clone()), begun.clone());
        async move {
            let _dropped = dropped;
            begun.send(request.from).await.expect("the test goes on");
            std::future::pending::<Result<Payload, String>>().await
        }
    };
    beta.node.respond("work", handler).expect("a handler");
    alpha.is(|state| state.connected).await;
    beta.is(|state| state.connected).await;
    let ask = |bus: Bus| {
        tokio::spawn(async move {
            loop {
                // Until the handler is known everywhere there is none.
                let _ = bus.request("work", Payload::text("x")).timeout(Duration::from_secs(600)).await;
                sleep(Duration::from_millis(20)).await;
            }
        })
    };
    let asking = ask(alpha.node.clone());
    within(30, has_begun.recv()).await.expect("it is asked");
    asking.abort();
    within(30, is_dropped.recv()).await.expect("it was cancelled");
}

/// Has the machine's gateway do this with a session.
async fn session(machine: &TestMachine, id: &[u8], asked: Asked) -> SessionAnswer {
    let ask = SessionAsk { id: id.to_vec(), asked }.encode();
    loop {
        let request = machine.node.request(SESSIONS, Payload::bytes(ask.clone())).to(NodeId::GATEWAY);
        match request.timeout(Duration::from_secs(5)).await {
            Ok(answer) => return SessionAnswer::decode(&answer.bytes).expect("an answer"),
            Err(error) => println!("not yet: {error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// How many keys the bucket has.
async fn keys(server: &NatsServer) -> u64 {
    let info = server.ask("$JS.API.STREAM.INFO.KV_mn-test-sessions", &serde_json::Value::Null).await;
    info["state"]["messages"].as_u64().unwrap_or_else(|| panic!("no bucket: {info}"))
}

/// Between looks of a gateway whether sessions have to be removed.
const SWEEP: Duration = Duration::from_secs(660);

#[tokio::test]
async fn a_gateway_removes_what_has_expired_from_the_bucket() {
    let Some(server) = NatsServer::new() else { return };
    let mut server = server.with_store();
    server.start().await;
    let alpha = TestMachine::start("alpha", &server);
    within(60, async {
        for number in 0..20_u8 {
            let expires = if number < 15 { 1 } else { i64::MAX };
            let made = session(&alpha, &[b's', number], Asked::Create(expires, b"x".to_vec())).await;
            assert_eq!(made, SessionAnswer::Yes);
        }
        assert_eq!(keys(&server).await, 20);
    })
    .await;
    let begun = std::time::Instant::now();
    // Its turn, and five that go on. A first look only finds out whose turn it is.
    while keys(&server).await != 6 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} keys", keys(&server).await);
        tokio::time::pause();
        tokio::time::advance(SWEEP).await;
        tokio::time::resume();
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(session(&alpha, &[b's', 17], Asked::Load).await, SessionAnswer::Session(i64::MAX, b"x".to_vec()));
}
