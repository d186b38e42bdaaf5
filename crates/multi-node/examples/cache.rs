//! A cache in each node (worker process), kept right by a topic: who changes a value tells all others that theirs is stale.
//!
//! `PORT=8080 cargo run --example cache`, then `curl localhost:8080/price` and `curl -X PUT localhost:8080/price/7`. `LOAD_MS` in the
//! environment is how long the database takes. `UNCHECKED=1` leaves the generations out, to show what goes wrong then.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, put};
use multi_node::bus::{RequestError, Topic, TypedEvent, TypedSubscription};
use multi_node::status::NodeId;
use multi_node::{Handle, Options, http_with, listen};

type BoxError = Box<dyn Error + Send + Sync>;
type Answer = Result<String, String>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http_with(app)).await?;
    if nodes.is_master() {
        database(&nodes)?;
        nodes.ready().await?;
        println!("http://{}", nodes.local_addr());
    }
    Ok(nodes.closed().await?)
}

/// In place of a real one: the master keeps the values, and is slow.
fn database(master: &Handle) -> Result<(), BoxError> {
    let slow = Duration::from_millis(std::env::var("LOAD_MS").map_or(Ok(50), |text| text.parse())?);
    let values = Arc::new(Mutex::new(HashMap::<String, u64>::new()));
    let (stored, loads) = (values.clone(), master.counter("loads")?);
    master.respond("load", move |key: String| {
        loads.add(1);
        let value = values.lock().map_or(0, |values| values.get(&key).copied().unwrap_or(0));
        async move {
            tokio::time::sleep(slow).await;
            Ok::<_, String>(value)
        }
    })?;
    master.respond("store", move |(key, value): (String, u64)| {
        let stored = stored.lock().map(|mut values| values.insert(key, value)).map_err(|error| error.to_string());
        async move { stored }
    })?;
    Ok(())
}

async fn app(node: Handle) -> Result<Router, BoxError> {
    let cache = Arc::new(Cache::new(node.clone())?);
    // The node is ready once the others have confirmed it.
    tokio::spawn(cache.clone().follow(cache.stale.subscribe().now()));
    let loads = node.counter("loads")?;
    Ok(Router::new()
        .route("/loads", get(async move || loads.get().to_string()))
        .route("/{key}", get(show))
        .route("/{key}/{value}", put(change))
        .with_state(cache))
}

async fn show(State(cache): State<Arc<Cache>>, Path(key): Path<String>) -> Answer {
    cache.get(key).await.map(|value| value.to_string()).map_err(|error| error.to_string())
}

async fn change(State(cache): State<Arc<Cache>>, Path((key, value)): Path<(String, u64)>) -> Answer {
    cache.set(key, value).await.map(|()| "changed".to_owned()).map_err(|error| error.to_string())
}

struct Cache {
    node: Handle,
    stale: Topic<String>,
    known: Mutex<Known>,
    is_checked: bool,
}

#[derive(Default)]
struct Known {
    values: HashMap<String, u64>,
    /// Counts the messages about stale values. Where changes are frequent, count for each key.
    generation: u64,
}

impl Cache {
    fn new(node: Handle) -> Result<Cache, BoxError> {
        let stale = node.topic("stale")?;
        Ok(Cache { node, stale, known: Mutex::default(), is_checked: std::env::var_os("UNCHECKED").is_none() })
    }

    /// A load that began before a change may end after the message about it. What it read is old, and nobody would drop it again if it
    /// were kept. So a value is kept only if no message has come since its load began.
    async fn get(&self, key: String) -> Result<u64, RequestError> {
        let before = {
            let known = self.known();
            if let Some(value) = known.values.get(&key) {
                return Ok(*value);
            }
            known.generation
        };
        let value = self.node.request("load", &key).to(NodeId::MASTER).await?;
        let mut known = self.known();
        if known.generation == before || !self.is_checked {
            known.values.insert(key, value);
        }
        Ok(value)
    }

    /// First the change, then the message: a load that the message causes must find the new value.
    async fn set(&self, key: String, value: u64) -> Result<(), BoxError> {
        let _: Option<u64> = self.node.request("store", &(&key, value)).to(NodeId::MASTER).await?;
        // A process that it does not reach gets `Lagged`.
        let _ = self.stale.publish(&key)?;
        Ok(())
    }

    /// Drops what others have changed.
    async fn follow(self: Arc<Self>, mut stale: TypedSubscription<String>) {
        loop {
            let event = stale.recv().await;
            let mut known = self.known();
            known.generation += 1;
            match event {
                TypedEvent::Message { value: key, .. } => drop(known.values.remove(&key)),
                // Any value may be stale.
                TypedEvent::Lagged { .. } | TypedEvent::Undecodable { .. } => known.values.clear(),
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in here panics half-way.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
