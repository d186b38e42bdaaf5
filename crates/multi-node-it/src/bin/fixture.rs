//! The server program of the tests. It answers like any other, and misbehaves on command.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Json, Router};
use multi_node::limits::{Limit, Quota};
use multi_node::mesh::{Peer, PeerWriter};
use multi_node::options::Metric;
use multi_node::status::NodeId;
use multi_node::{Conn, Handle, Nodes, Options, Role, http, http_with, listen, role, tcp};
use multi_node_it::held::Held;
use multi_node_it::plan::{Fault, Plan, Streams, TlsPlan};
use multi_node_it::{bus, execution_log, held, hostile, leads, old_node, presence, routes, streams};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Notify, mpsc, watch};

/// What processes say to each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Message {
    Ping(u64),
    Pong(u64),
}

/// Ways to all peers that are joined, and which of them have answered which ping; or the streams as they are.
#[derive(Clone, Default)]
struct Mesh {
    streams: Streams,
    held: Held,
    /// Notified when the master has to begin to ask for its peers.
    take: Arc<Notify>,
    outboxes: Arc<Mutex<BTreeMap<NodeId, mpsc::Sender<Message>>>>,
    pongs: Arc<Mutex<BTreeMap<NodeId, u64>>>,
    changed: Arc<watch::Sender<()>>,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::from_env()?;
    // No core dumps: crashes on command need none.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let mut runtime = match plan.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = runtime.enable_all().build()?;
    let result = runtime.block_on(run(plan));
    // The thread that reads standard input must not keep the process.
    runtime.shutdown_background();
    result
}

fn subscribe() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
}

async fn run(mut plan: Plan) -> anyhow::Result<()> {
    if plan.subscriber {
        subscribe();
    }
    if Fault::OtherCertificate.is_laid(&plan.faults) {
        plan.tls = plan.tls.map(TlsPlan::other);
    }
    let before = role();
    plan.early.open();
    misbehave_before_listen(&plan).await?;
    let (mesh, dropping) = (Mesh { streams: plan.streams, ..Mesh::default() }, Arc::new(Notify::new()));
    let app = {
        let (http, tls, plan) = (plan.http, plan.tls.clone(), plan.clone());
        let (mesh, dropping) = (mesh.clone(), dropping.clone());
        http.set(http_with(move |node: Handle| make_app(plan, node, mesh, dropping)), tls.as_ref())
    };
    let options = match Fault::OtherAddresses.is_laid(&plan.faults) {
        true => plan.options().metrics_source(measured).bind("127.0.0.1:0"),
        false => plan.options().metrics_source(measured),
    };
    let nodes = match &plan.tls {
        _ if plan.admin => listen(options, app.and("127.0.0.1:0", http(admin()))).await?,
        Some(tls) if tls.echo => {
            listen(options, app.and("127.0.0.1:0", tcp(send_back).tls(tls.certificates()))).await?
        }
        _ => listen(options, app).await?,
    };
    let as_told = if nodes.is_master() { Role::Master } else { Role::Node };
    anyhow::ensure!((before, role()) == (as_told, as_told), "`role` was {before:?}, and {:?} after `listen`", role());
    if let Some(folder) = &plan.leads {
        leads::take_part(&nodes, folder, &plan.faults)?;
    }
    live(plan, nodes, mesh, dropping).await
}

async fn misbehave_before_listen(plan: &Plan) -> anyhow::Result<()> {
    if role() == Role::Master {
        return misbehave_when_called(plan).await;
    }
    if Fault::Die.is_laid(&plan.faults) {
        std::process::exit(3);
    }
    hostile::misbehave(&plan.faults)?;
    old_node::play(&plan.faults)?;
    Fault::StuckBeforeListen.lifted(&plan.faults).await;
    Ok(())
}

/// The misbehaviour of a program that takes the master's place, or runs in a preflight.
async fn misbehave_when_called(plan: &Plan) -> anyhow::Result<()> {
    let call = std::env::var("MULTI_NODE_UPGRADE").unwrap_or_default();
    if call.ends_with("preflight") {
        if Fault::DieInTrial.is_laid(&plan.faults) {
            std::process::exit(5);
        }
        Fault::StuckInTrial.lifted(&plan.faults).await;
    }
    if call.ends_with("resume") {
        if Fault::DieAsSuccessor.is_laid(&plan.faults) {
            std::process::exit(6);
        }
        assert!(!Fault::PanicAsSuccessor.is_laid(&plan.faults), "as ordered");
        Fault::StuckAsSuccessor.lifted(&plan.faults).await;
    }
    Ok(())
}

async fn make_app(plan: Plan, node: Handle, mesh: Mesh, dropping: Arc<Notify>) -> anyhow::Result<Router> {
    if Fault::FailFactory.is_laid(&plan.faults) {
        let cause: anyhow::Result<Router> = Err(anyhow::anyhow!("no route to host"));
        return cause.context("cannot reach the database");
    }
    while Fault::BlockInFactory.is_laid(&plan.faults) {
        std::thread::sleep(Duration::from_secs(1));
    }
    Fault::StuckInFactory.lifted(&plan.faults).await;
    let status = match Fault::AnswerErrors.is_laid(&plan.faults) {
        true => StatusCode::INTERNAL_SERVER_ERROR,
        false => StatusCode::OK,
    };
    let bus = match plan.bus {
        true => {
            let routes = bus::routes(node.clone(), plan.join.as_ref().map(|join| &*join.1))?;
            let routes = routes.merge(presence::routes(node.clone()));
            if plan.join.is_some() { routes.merge(streams::routes(&node)?) } else { routes }
        }
        false => Router::new(),
    };
    Ok(app(node, mesh, dropping, status).merge(execution_log::routes(&plan.faults)).merge(bus))
}

fn app(node: Handle, mesh: Mesh, dropping: Arc<Notify>, status: StatusCode) -> Router {
    let name = format!("{} {}\n", node.id(), std::process::id());
    let held = mesh.held.clone();
    Router::new()
        .merge(routes::serving())
        .route("/", get(move || async move { (status, name) }))
        .route("/block/{ms}", get(block))
        .route("/grow/{mib}", get(grow))
        .route("/spin", get(spin))
        .route("/measure", get(measure))
        .route("/abort", get(abort))
        .route("/exit/{code}", get(exit))
        .route("/gauge/{amount}", get(gauge))
        .route("/limited/{key}", get(limited).layer(Extension(limit(&node))))
        .route("/drop", get(move || async move { dropping.notify_one() }))
        .route("/orphan", get(orphan))
        .route("/descend", get(descend))
        .route("/ping", get(move || ping_all(mesh)))
        .route(
            "/held/{command}",
            get(move |Path(command): Path<String>| async move { Json(held.obey(&command).await) }),
        )
        .route(
            "/order/{command}",
            get(move |Path(command): Path<String>| async move { Json(obey(&node, &command).await) }),
        )
}

/// Each key may have 20 requests.
fn limit(node: &Handle) -> Limit {
    let quota = Quota::new(20, Duration::from_secs(300 * 24 * 3600)).expect("a quota");
    node.limit("limited", quota)
}

async fn limited(Extension(limit): Extension<Limit>, Path(key): Path<String>) -> StatusCode {
    if limit.check(key).is_ok() { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS }
}

/// Adds to this node's part of a gauge; answers the sum.
async fn gauge(Extension(node): Extension<Handle>, Path(amount): Path<i64>) -> String {
    let gauge = node.gauge("online").expect("few gauges");
    gauge.add(amount);
    format!("{} {} {}\n", node.id(), std::process::id(), gauge.get())
}

fn admin() -> Router {
    Router::new().route("/", get(|| async { "admin\n" }))
}

/// Sends back what comes, until the client is done.
async fn send_back(conn: Conn) {
    let (mut read, mut write) = tokio::io::split(conn.stream);
    // An error is the client's going away.
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Blocks the runtime's thread.
async fn block(Path(ms): Path<u64>) -> String {
    std::thread::sleep(Duration::from_millis(ms));
    format!("blocked {ms}\n")
}

/// Leaks memory.
async fn grow(Extension(node): Extension<Handle>, Path(mib): Path<usize>) -> String {
    Box::leak(vec![1_u8; mib << 20].into_boxed_slice());
    format!("{} {}\n", node.id(), std::process::id())
}

/// What is measured by other means than the facade.
static BYTES: Mutex<f64> = Mutex::new(0.0);

async fn measured() -> Vec<Metric> {
    let bytes = *BYTES.lock().expect("nobody panics");
    vec![
        Metric::counter("sent_bytes_total", bytes).help("Bytes that were sent."),
        Metric::counter("multi_node_requests_total", bytes),
        Metric::summary("answers", bytes as u64, bytes).label("kind", "a \"b\"\n"),
    ]
}

/// Counts itself by the `metrics` facade.
async fn measure() -> String {
    metrics::counter!("jobs_done_total", "queue" => "mail").increment(1);
    metrics::gauge!("oldest_job_seconds").set(f64::from(std::process::id()));
    metrics::histogram!("job_seconds").record(0.3);
    metrics::histogram!("job.bytes").record(300.0);
    *BYTES.lock().expect("nobody panics") += 0.25;
    format!("measured {}\n", std::process::id())
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

/// Leaves a process behind that ends on its own.
async fn orphan() -> String {
    let status = tokio::process::Command::new("sh").args(["-c", "sleep 0.1 >/dev/null & echo $!"]).output().await;
    String::from_utf8_lossy(&status.expect("a shell").stdout).into_owned()
}

/// Starts this program with this node's environment; answers its process id and what it says first.
async fn descend() -> String {
    let program = std::env::current_exe().expect("this program");
    let child = tokio::process::Command::new(program).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    let mut first = String::new();
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    said.read_line(&mut first).await.expect("readable output");
    format!("{} {first}", child.id().expect("not waited for"))
}

/// Pings every peer, and returns those that have answered within 5 s.
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
        if self.streams != Streams::Talk {
            return self.held.hold(peer);
        }
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

/// Joins peers until this process's service is over, and does what the master's standard input or a fault says.
async fn live(plan: Plan, mut nodes: Nodes, mesh: Mesh, dropping: Arc<Notify>) -> anyhow::Result<()> {
    let is_master = nodes.is_master();
    if is_master {
        let addrs: Vec<String> = nodes.local_addrs().iter().map(ToString::to_string).collect();
        println!("listening on {}", addrs.join(" "));
        tokio::spawn(take_commands(nodes.handle(), mesh.clone(), dropping.clone()));
    }
    if is_master && plan.streams == Streams::HoldLate {
        mesh.take.notified().await;
    }
    let (handle, asks) = (nodes.handle(), plan.streams != Streams::Unasked);
    loop {
        tokio::select! {
            peer = nodes.next_peer(), if asks => match peer {
                Some(peer) => mesh.join(peer),
                None => break,
            },
            _ = handle.closed(), if !asks => break,
            () = dropping.notified() => return drop_nodes(nodes).await,
            () = tokio::time::sleep(Duration::from_millis(20)), if !is_master && Fault::DieWhenReady.is_laid(&plan.faults) => {
                std::process::exit(4)
            }
            () = tokio::time::sleep(Duration::from_millis(20)), if !is_master && Fault::LeaveWhenReady.is_laid(&plan.faults) => {
                return Ok(());
            }
        }
    }
    let end = nodes.closed().await;
    if plan.endless_main && !is_master {
        std::future::pending::<()>().await;
    }
    Ok(end?)
}

/// Carries out what standard input says, `7 reload`, each command beside the others, and answers as `7 {…}`.
async fn take_commands(node: Handle, mesh: Mesh, dropping: Arc<Notify>) -> anyhow::Result<()> {
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    let own = Arc::default();
    while let Some(line) = commands.next_line().await? {
        let Some((ticket, command)) = line.split_once(' ').map(|(t, o)| (t.to_owned(), o.to_owned())) else {
            anyhow::bail!("{line:?} is no command");
        };
        let (node, mesh, dropping, own) = (node.clone(), mesh.clone(), dropping.clone(), Arc::clone(&own));
        tokio::spawn(async move {
            let answer = match command.as_str() {
                "drop" => json!(dropping.notify_one()),
                "ping" => ping_all(mesh).await.0,
                "start child" => start_child(&own),
                "wait for child" => wait_for_child(&own),
                "take" => json!(mesh.take.notify_one()),
                command if held::knows(command) => mesh.held.obey(command).await,
                command => obey(&node, command).await,
            };
            println!("{ticket} {answer}");
        });
    }
    // Where a harness gave the commands, it has ended, and nobody is left who would stop the program.
    if std::fs::metadata("/proc/self/fd/0")?.file_type().is_fifo() {
        node.shutdown().await?;
    }
    Ok(())
}

/// The master's own child, which it waits for when it likes.
type OwnChild = Mutex<Option<std::process::Child>>;

fn start_child(own: &OwnChild) -> Value {
    let child = std::process::Command::new("sh").args(["-c", "exit 7"]).stdin(Stdio::null()).spawn();
    let pid = child.as_ref().map(std::process::Child::id).map_err(ToString::to_string);
    *own.lock().expect("no panic") = child.ok();
    json!(pid)
}

fn wait_for_child(own: &OwnChild) -> Value {
    let child = own.lock().expect("no panic").take();
    json!(child.map(|mut child| child.wait().map(|status| status.code()).map_err(|error| error.to_string())))
}

/// Drops this process's `Nodes`, and returns what a handle still reports.
async fn drop_nodes(nodes: Nodes) -> anyhow::Result<()> {
    let handle = nodes.handle();
    drop(nodes);
    Ok(handle.closed().await?)
}

async fn obey(node: &Handle, command: &str) -> Value {
    let words: Vec<&str> = command.split([' ', '-']).collect();
    match words[..] {
        ["status"] => json!(node.status()),
        ["ready"] => json!(node.ready().await.map_err(|error| error.to_string())),
        ["peers"] => json!(node.peers().keys().map(ToString::to_string).collect::<Vec<_>>()),
        ["rejoin", "node", number] => json!(node.rejoin(format!("node-{number}").parse().expect("an id"))),
        ["draining", "peers"] => {
            json!(
                node.peers()
                    .values()
                    .filter(|peer| peer.is_draining())
                    .map(|peer| peer.id().to_string())
                    .collect::<Vec<_>>()
            )
        }
        ["reload"] => json!(node.reload().await),
        ["upgrade"] => json!({ "Err": node.upgrade().await.expect_err("another program would be here") }),
        ["closed"] => json!(node.closed().await.map_err(|error| error.to_string())),
        ["shutdown"] => json!(node.shutdown().await),
        ["listen"] => json!(listen(Options::new().port(0), http(admin())).await.map(drop).map_err(|e| e.to_string())),
        ["restart", slot] => json!(node.restart(slot.parse().unwrap_or(u16::MAX).into()).await),
        ["scale", n] => json!(node.scale(n.parse().unwrap_or(0)).await),
        _ => json!({ "unknown": command }),
    }
}
