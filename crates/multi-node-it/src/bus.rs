//! Routes of the fixture program that publish, subscribe, ask and answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use multi_node::Handle;
use multi_node::bus::{Payload, RequestError, Topic, TypedEvent};
use multi_node::status::NodeId;
use serde_json::{Value, json};

/// How many messages a newcomer gets of those before it.
pub const HISTORY: usize = 50;

/// What this process has received, each as `publisher:text`, or `publisher!missed`.
type Received = Arc<Mutex<Vec<String>>>;

/// Subscribes, answers requests of the name `who`, and gives the routes.
pub fn routes(node: Handle) -> anyhow::Result<Router> {
    let topic = node.topic::<String>("room")?.history(HISTORY);
    let received = Received::default();
    // The subscription begins here; the node is ready once the others have confirmed it.
    tokio::spawn(collect(topic.subscribe().now(), received.clone()));
    let id = node.id();
    let counting = counting(&node)?.merge(flooding(&node)?);
    node.respond("who", move |wait_ms: u64| async move {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok::<_, String>(id)
    })?;
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

/// What one subscription has seen of the numbers that each process publishes: 0, 1, 2 and so on.
#[derive(Default)]
struct Audit {
    /// The number that comes next from each publisher.
    next: BTreeMap<NodeId, u64>,
    messages: u64,
    lagged: u64,
    /// Numbers that came twice, too early, or after a gap without `Lagged`.
    wrong: Vec<String>,
}

impl Audit {
    fn note(&mut self, event: TypedEvent<u64>) {
        match event {
            TypedEvent::Message { from, value } => {
                self.messages += 1;
                // History may begin anywhere.
                if let Some(due) = self.next.insert(from, value + 1).filter(|due| *due != value) {
                    self.wrong.push(format!("{from}: {value}, and {due} was due"));
                }
            }
            TypedEvent::Lagged { from, missed } => {
                self.lagged += missed;
                self.next.entry(from).and_modify(|due| *due += missed);
            }
            TypedEvent::Undecodable { from, error } => self.wrong.push(format!("{from}: {error}")),
        }
    }

    fn json(&self) -> Value {
        json!({ "messages": self.messages, "lagged": self.lagged, "wrong": self.wrong })
    }
}

/// `/bus/count/N` publishes the next N numbers of this process, `/bus/audit` shows what it has seen of all.
fn counting(node: &Handle) -> anyhow::Result<Router> {
    let topic = node.topic::<u64>("numbers")?.history(HISTORY);
    let (audit, published) = (Arc::new(Mutex::new(Audit::default())), Arc::new(AtomicU64::new(0)));
    let (mut subscription, noted) = (topic.subscribe().now(), audit.clone());
    tokio::spawn(async move {
        loop {
            let event = subscription.recv().await;
            noted.lock().unwrap_or_else(PoisonError::into_inner).note(event);
        }
    });
    let count = move |Path(count): Path<u64>| async move {
        for _ in 0..count {
            // Whom a message misses shows in the audit.
            let _ = topic.publish(&published.fetch_add(1, Ordering::Relaxed)).expect("a small message");
        }
        "counted\n"
    };
    let show = move || async move { Json(audit.lock().unwrap_or_else(PoisonError::into_inner).json()) };
    Ok(Router::new().route("/bus/count/{count}", get(count)).route("/bus/audit", get(show)))
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

fn asking(node: Handle) -> Router {
    let (any, one, all) = (node.clone(), node.clone(), node);
    Router::new()
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

async fn collect(mut subscription: multi_node::bus::TypedSubscription<String>, received: Received) {
    loop {
        let line = match subscription.recv().await {
            TypedEvent::Message { from, value } => format!("{from}:{value}"),
            TypedEvent::Lagged { from, missed } => format!("{from}!{missed}"),
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
