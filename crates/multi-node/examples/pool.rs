//! A pool of database connections in each node (worker process): `cargo run --example pool`, then `curl http://127.0.0.1:8080/`.
//!
//! The factory runs only in processes that serve. It opens this node's share of the connections, and they are closed after the node's
//! last answer. `DATABASE` is the file.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use multi_node::{BoxError, Handle, Options, http_with, listen};
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Of all nodes together: half of what a database allows, since a reload may have twice as many nodes for a while.
const CONNECTIONS: usize = 16;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http_with(app)).await?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("serving on http://{}", nodes.local_addr());
    }
    Ok(nodes.closed().await?)
}

async fn app(node: Handle) -> Result<Router, BoxError> {
    let file = std::env::var("DATABASE").unwrap_or_else(|_| "visits.db".to_owned());
    let share = node.share_of(CONNECTIONS);
    // An error here is a failed start of the node, with this cause in the log.
    let pool = Arc::new(spawn_blocking(move || Pool::open(&file, share)).await??);
    let visits = get(async move |State(pool): State<Arc<Pool>>| {
        let visits = pool.ask(visit).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(format!("visit {visits}, by {} with {share} connections\n", node.id()))
    });
    Ok(Router::new().route("/", visits).with_state(pool))
}

fn visit(database: &Connection) -> rusqlite::Result<i64> {
    database.query_row("UPDATE visits SET count = count + 1 RETURNING count", (), |row| row.get(0))
}

/// In place of that of your database's crate.
struct Pool {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Pool {
    fn open(file: &str, size: usize) -> rusqlite::Result<Pool> {
        let idle = (0..size).map(|_| connect(file)).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Pool { idle: Mutex::new(idle), permits: Semaphore::new(size) })
    }

    /// Asks by a connection of the pool, and waits for one if all are in use.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let _permit = self.permits.acquire().await?;
        let pool = self.clone();
        let answer = spawn_blocking(move || {
            let connection = pool.connections().pop().expect("there are as many as permits");
            let answer = question(&connection);
            pool.connections().push(connection);
            answer
        });
        Ok(answer.await??)
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(file: &str) -> rusqlite::Result<Connection> {
    let database = Connection::open(file)?;
    database.busy_timeout(Duration::from_secs(5))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS visits (only INTEGER PRIMARY KEY CHECK (only = 0), count INTEGER);
         INSERT OR IGNORE INTO visits VALUES (0, 0);",
    )?;
    Ok(database)
}
