//! The server program of the tests. It answers like any other, and misbehaves on order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use axum::extract::Path;
use axum::extract::ws::{Message as Frame, WebSocketUpgrade};
use axum::routing::get;
use axum::{Json, Router};
use multi_node::{Handle, NodeId, Nodes, Peer, PeerWriter, Role, http, http_with, listen, role};
use multi_node_it::plan::{Fault, Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{mpsc, watch};

/// What processes say to each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Message {
    Ping(u64),
    Pong(u64),
}

/// Ways to all peers that are joined, and which of them have answered which ping.
#[derive(Clone, Default)]
struct Mesh {
    outboxes: Arc<Mutex<BTreeMap<NodeId, mpsc::Sender<Message>>>>,
    pongs: Arc<Mutex<BTreeMap<NodeId, u64>>>,
    changed: Arc<watch::Sender<()>>,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::from_env()?;
    let mut runtime = match plan.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(run(plan))?;
    // What is left on the runtime's threads must not keep the process.
    runtime.shutdown_background();
    Ok(())
}

async fn run(plan: Plan) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    misbehave_before_listen(&plan).await;
    let mesh = Mesh::default();
    let app = {
        let (plan, mesh) = (plan.clone(), mesh.clone());
        http_with(move |node: Handle| make_app(plan, node, mesh))
    };
    let nodes = if plan.admin {
        listen(plan.options(), app.and("127.0.0.1:0", http(admin()))).await?
    } else {
        listen(plan.options(), app).await?
    };
    live(plan, nodes, mesh).await
}

async fn misbehave_before_listen(plan: &Plan) {
    if role() == Role::Master {
        return;
    }
    if Fault::Die.is_laid(&plan.faults) {
        std::process::exit(3);
    }
    if Fault::StuckBeforeListen.is_laid(&plan.faults) {
        std::future::pending::<()>().await;
    }
}

async fn make_app(plan: Plan, node: Handle, mesh: Mesh) -> anyhow::Result<Router> {
    if Fault::FailFactory.is_laid(&plan.faults) {
        let cause: anyhow::Result<Router> = Err(anyhow::anyhow!("no route to host"));
        return cause.context("cannot reach the database");
    }
    if Fault::StuckInFactory.is_laid(&plan.faults) {
        std::future::pending::<()>().await;
    }
    Ok(app(node, mesh))
}

fn app(node: Handle, mesh: Mesh) -> Router {
    let name = format!("{} {}\n", node.id(), std::process::id());
    let orders = node.clone();
    Router::new()
        .route("/", get(move || async { name }))
        .route("/sleep/{ms}", get(sleep))
        .route("/block/{ms}", get(block))
        .route("/spin", get(spin))
        .route("/abort", get(abort))
        .route("/exit/{code}", get(exit))
        .route("/ping", get(move || ping_all(mesh)))
        .route("/order/{order}", get(move |Path(order): Path<String>| async move { Json(obey(&orders, &order).await) }))
        .route(
            "/ws",
            get(move |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(move |socket| echo(node, socket)) }),
        )
}

fn admin() -> Router {
    Router::new().route("/", get(|| async { "admin\n" }))
}

async fn sleep(Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("slept {ms}\n")
}

/// Blocks the runtime's thread.
async fn block(Path(ms): Path<u64>) -> String {
    std::thread::sleep(Duration::from_millis(ms));
    format!("blocked {ms}\n")
}

/// Never gives the runtime's thread back.
async fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

async fn abort() {
    std::process::abort();
}

async fn exit(Path(code): Path<i32>) {
    std::process::exit(code);
}

/// Echoes what a WebSocket says, until this node drains.
async fn echo(node: Handle, mut socket: axum::extract::ws::WebSocket) {
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Frame::Text(text))) if socket.send(Frame::Text(text.clone())).await.is_ok() => {}
                _ => return,
            },
            () = node.draining() => {
                // An error is the client's going away.
                let _ = socket.send(Frame::Close(None)).await;
                return;
            }
        }
    }
}

/// Pings every peer that is joined, and tells who has answered within 5 s.
async fn ping_all(mesh: Mesh) -> Json<Value> {
    let number = u64::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs());
    let outboxes: Vec<_> = mesh.outboxes.lock().expect("no panic").clone().into_iter().collect();
    let mut changed = mesh.changed.subscribe();
    for (_, outbox) in &outboxes {
        // A peer that has just ended does not answer.
        let _ = outbox.send(Message::Ping(number)).await;
    }
    let answered = || {
        mesh.pongs
            .lock()
            .expect("no panic")
            .iter()
            .filter(|(_, n)| **n == number)
            .map(|(id, _)| id.to_string())
            .collect::<Vec<_>>()
    };
    let all = async {
        while answered().len() < outboxes.len() {
            changed.changed().await.expect("the sender is ours");
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    Json(json!({ "asked": outboxes.len(), "answered": answered() }))
}

impl Mesh {
    fn join(&self, peer: Peer) {
        let id = peer.id();
        let (reader, writer) = peer.into_split();
        let (outbox, messages) = mpsc::channel(16);
        self.outboxes.lock().expect("no panic").insert(id, outbox.clone());
        tokio::spawn(write(writer, messages));
        let mesh = self.clone();
        tokio::spawn(async move {
            let mut reader = reader.framed::<Message>();
            while let Ok(Some(message)) = reader.recv().await {
                match message {
                    Message::Ping(number) => drop(outbox.send(Message::Pong(number)).await),
                    Message::Pong(number) => {
                        mesh.pongs.lock().expect("no panic").insert(id, number);
                        mesh.changed.send_replace(());
                    }
                }
            }
            mesh.outboxes.lock().expect("no panic").remove(&id);
        });
    }
}

async fn write(writer: PeerWriter, mut messages: mpsc::Receiver<Message>) {
    let mut writer = writer.framed::<Message>();
    while let Some(message) = messages.recv().await {
        if writer.send(message).await.is_err() {
            return;
        }
    }
}

/// Joins peers until this process drains, and does what the master's standard input or a fault says.
async fn live(plan: Plan, mut nodes: Nodes, mesh: Mesh) -> anyhow::Result<()> {
    let is_master = nodes.is_master();
    if is_master {
        let addrs: Vec<String> = nodes.local_addrs().iter().map(ToString::to_string).collect();
        println!("listening on {}", addrs.join(" "));
    }
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            peer = nodes.next_peer() => match peer {
                Some(peer) => mesh.join(peer),
                None => break,
            },
            line = orders.next_line(), if is_master => match line?.as_deref() {
                Some("drop") => return drop_nodes(nodes).await,
                Some("ping") => println!("{}", ping_all(mesh.clone()).await.0),
                Some(order) => println!("{}", obey(&nodes, order).await),
                None => std::future::pending().await,
            },
            () = tokio::time::sleep(Duration::from_millis(20)), if !is_master && Fault::DieWhenReady.is_laid(&plan.faults) => {
                std::process::exit(4)
            }
            () = tokio::time::sleep(Duration::from_millis(20)), if !is_master && Fault::LeaveWhenReady.is_laid(&plan.faults) => {
                return Ok(());
            }
        }
    }
    nodes.closed().await?;
    if plan.endless_main && !is_master {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Drops the master's `Nodes`, and waits for what a handle still tells.
async fn drop_nodes(nodes: Nodes) -> anyhow::Result<()> {
    let handle = nodes.handle();
    drop(nodes);
    Ok(handle.closed().await?)
}

async fn obey(node: &Handle, order: &str) -> Value {
    let words: Vec<&str> = order.split([' ', '-']).collect();
    match words[..] {
        ["status"] => json!(node.status()),
        ["ready"] => json!(node.ready().await.map_err(|error| error.to_string())),
        ["peers"] => json!(node.peers().keys().map(ToString::to_string).collect::<Vec<_>>()),
        ["reload"] => json!(node.reload().await),
        ["shutdown"] => json!(node.shutdown().await),
        ["scale", n] => json!(node.scale(n.parse().unwrap_or(0)).await),
        _ => json!({ "unknown": order }),
    }
}
