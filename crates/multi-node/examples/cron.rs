//! Four nodes serve, and one of them makes a report every second: `cargo run --example cron`. Kill the node that says so, or reload by
//! `multi-node reload cron`: another one goes on. `PORT`, `HOST` and `NODES` change where and by how many.

use std::time::Duration;

use axum::{Router, routing::get};
use multi_node::lease::Lease;
use multi_node::{Options, http, listen};
use tokio::time::{MissedTickBehavior, interval};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().route("/", get(async || "hello\n"));
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http(app)).await?;

    let id = nodes.id().to_string();
    nodes.leader("reports", move |lease| make_reports(lease, id.clone()))?;
    if nodes.is_master() {
        println!("serving on http://{}", nodes.local_addr());
    }
    Ok(nodes.closed().await?)
}

/// Reports do not overlap. What comes due while one is made is skipped.
async fn make_reports(lease: Lease, id: String) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = seconds.tick() => eprintln!("{id} makes a report"),
            () = lease.lost() => return eprintln!("{id} makes no more"),
        }
    }
}
