//! Routes of the fixture program that publish, subscribe, ask and answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::SinkExt;
use multi_node::Handle;
use multi_node::bus::{Payload, Request, RequestError, Target, Topic, TypedEvent};
use multi_node::status::NodeId;
use serde_json::{Value, json};

use crate::audit::{Audit, Seen};
use crate::joined;

/// How many messages a newcomer gets of those before it.
pub const HISTORY: usize = 50;

/// How long a WebSocket stays once its node drains, so that it gets what is published meanwhile.
const STAYS: Duration = Duration::from_millis(300);

/// The most events that go to a WebSocket at once.
const TOGETHER: usize = 64;

/// What this process has received, each as `publisher:text`, or `publisher!missed`.
type Received = Arc<Mutex<Vec<String>>>;

/// Subscribes, answers requests of the name `who`, and gives the routes.
pub fn routes(node: Handle, machine: Option<&str>) -> anyhow::Result<Router> {
    let topic = node.topic::<String>("room")?.history(HISTORY);
    let received = Received::default();
    // The subscription begins here; the node is ready once the others have confirmed it.
    tokio::spawn(collect(node.clone(), topic.subscribe().now(), received.clone()));
    let id = node.id();
    let counting = counting(&node)?.merge(flooding(&node)?).merge(joined::routes(&node));
    node.respond("who", move |wait_ms: u64| async move {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok::<_, String>(id)
    })?;
    if let Some(machine) = machine {
        answers_as(machine, &node)?;
    }
    Ok(asking(node)
        .merge(counting)
        .route("/bus/publish/{text}", get(move |Path(text): Path<String>| async move { publish(&topic, &text) }))
        .route(
            "/bus/received",
            get(move || async move {
                let received = received.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Json(json!({ "id": id, "received": received }))
            }),
        ))
}

/// `/bus/count/N` publishes the next N numbers of this process and says the last, `/bus/audit` shows what it has seen of all,
/// `/bus/live` sends that to a WebSocket.
fn counting(node: &Handle) -> anyhow::Result<Router> {
    let topic = node.topic::<u64>("numbers")?.history(HISTORY);
    let (audit, published) = (Arc::new(Mutex::new(Audit::default())), Arc::new(AtomicU64::new(0)));
    let (mut subscription, noted) = (topic.subscribe().now(), audit.clone());
    let live = live(node.clone(), topic.clone());
    tokio::spawn(async move {
        loop {
            let event = subscription.recv().await;
            noted.lock().unwrap_or_else(PoisonError::into_inner).note(event.into());
        }
    });
    let count = move |Path(count): Path<u64>| async move {
        for _ in 0..count {
            // Whom a message misses shows in the audit.
            let _ = topic.publish(&published.fetch_add(1, Ordering::Relaxed)).expect("a small message");
        }
        format!("{}\n", published.load(Ordering::Relaxed) - 1)
    };
    let show = move || async move { Json(audit.lock().unwrap_or_else(PoisonError::into_inner).json()) };
    Ok(live.route("/bus/count/{count}", get(count)).route("/bus/audit", get(show)))
}

fn live(node: Handle, topic: Topic<u64>) -> Router {
    let enter = move |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            // It ends where the client has gone.
            let _ = relay(&mut socket, &node, &topic).await;
        })
    };
    Router::new().route("/bus/live", get(enter))
}

/// Sends the client all that the topic brings.
async fn relay(socket: &mut WebSocket, node: &Handle, topic: &Topic<u64>) -> Result<(), axum::Error> {
    let mut subscription = topic.subscribe().now();
    let mut leave = std::pin::pin!(async {
        node.draining().await;
        tokio::time::sleep(STAYS).await;
    });
    loop {
        let first = tokio::select! {
            event = subscription.recv() => event,
            () = &mut leave => return socket.send(Message::Close(None)).await,
            frame = socket.recv() => match frame {
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
        };
        let others = std::iter::from_fn(|| subscription.try_recv()).take(TOGETHER);
        for event in std::iter::once(first).chain(others) {
            socket.feed(Message::text(Seen::from(event).to_string())).await?;
        }
        socket.flush().await?;
    }
}

/// `/bus/flood/MS` publishes messages of 64 KiB for so long, as fast as it can, and says how many bytes that were and how many messages
/// peers missed.
fn flooding(node: &Handle) -> anyhow::Result<Router> {
    let topic = node.raw_topic("flood")?;
    let mut subscription = topic.subscribe().now();
    tokio::spawn(async move {
        loop {
            subscription.recv().await;
        }
    });
    let flood = move |Path(ms): Path<u64>| async move {
        let (begin, payload) = (Instant::now(), Payload::bytes(vec![7; 64 << 10]));
        let (mut bytes, mut missed) = (0, 0);
        while begin.elapsed() < Duration::from_millis(ms) {
            missed += topic.publish(payload.clone()).expect("a small message").missed;
            bytes += payload.bytes.len();
            tokio::task::yield_now().await;
        }
        Json(json!({ "bytes": bytes, "missed": missed }))
    };
    Ok(Router::new().route("/bus/flood/{ms}", get(flood)))
}

/// Answers requests of the name `at-MACHINE`, which no other machine has: who answers, and who has asked.
fn answers_as(machine: &str, node: &Handle) -> anyhow::Result<()> {
    let handle = node.clone();
    node.respond_raw(&format!("at-{machine}"), move |request: Request| {
        let by = handle.remote(request.from).map_or_else(|| request.from.to_string(), |process| process.to_string());
        let wait = Duration::from_millis(request.payload.decode().unwrap_or_default());
        let answer = json!({ "id": handle.id(), "by": by, "by_id": request.from });
        async move {
            tokio::time::sleep(wait).await;
            Payload::json(&answer)
        }
    })?;
    Ok(())
}

/// `/bus/ask/NAME/WAIT` asks any process for this, `/bus/ask/NAME/WAIT/ID` that one.
fn asking_by_name(node: Handle) -> Router {
    let ask = async |node: Handle, name: String, wait: u64, to: Target| {
        let call = node.request::<Value>(&name, &wait).to(to).timeout(Duration::from_secs(2));
        Json(call.await.unwrap_or_else(|error| json!({ "error": error.to_string() })))
    };
    let one = node.clone();
    Router::new()
        .route("/bus/ask/{name}/{wait_ms}", get(move |Path((name, wait))| ask(node, name, wait, Target::Any)))
        .route(
            "/bus/ask/{name}/{wait_ms}/{id}",
            get(move |Path((name, wait, id)): Path<(_, _, NodeId)>| ask(one, name, wait, id.into())),
        )
}

fn asking(node: Handle) -> Router {
    let (any, one, all) = (node.clone(), node.clone(), node.clone());
    asking_by_name(node)
        .route("/bus/any/{wait_ms}", get(move |Path(wait): Path<u64>| async move { answer(any.request("who", &wait).await) }))
        .route(
            "/bus/one/{id}/{wait_ms}",
            get(move |Path((id, wait)): Path<(NodeId, u64)>| async move { answer(one.request("who", &wait).to(id).await) }),
        )
        .route("/bus/all", get(move || ask_all(all)))
}

fn publish(topic: &Topic<String>, text: &String) -> String {
    match topic.publish(text) {
        Ok(published) => format!("{published:?}\n"),
        Err(error) => format!("{error}\n"),
    }
}

async fn collect(node: Handle, mut subscription: multi_node::bus::TypedSubscription<String>, received: Received) {
    // One of another machine is named by that machine.
    let name = |from: NodeId| node.remote(from).map_or_else(|| from.to_string(), |process| process.to_string());
    loop {
        let line = match subscription.recv().await {
            TypedEvent::Message { from, value } => format!("{}:{value}", name(from)),
            TypedEvent::Lagged { from, missed } => format!("{}!{missed}", name(from)),
            TypedEvent::Undecodable { from, error } => format!("{from}?{error}"),
        };
        received.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

fn answer(result: Result<NodeId, RequestError>) -> Json<Value> {
    Json(match result {
        Ok(id) => json!({ "ok": id }),
        Err(error) => json!({ "error": error.to_string() }),
    })
}

async fn ask_all(node: Handle) -> Json<Value> {
    match node.request_all::<NodeId>("who", &0_u64) {
        Ok(asked) => Json(json!(asked.await.into_values().map(Result::ok).collect::<Vec<_>>())),
        Err(error) => Json(json!(error.to_string())),
    }
}
