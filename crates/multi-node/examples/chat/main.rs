//! Visitors of different processes talk to each other, and any of them can kill the process that serves them, or
//! deploy the program anew.
//!
//! `cargo run --release --example chat`, then open <http://localhost:8080/>. `PORT`, `HOST` and `NODES` in the
//! environment change where and by how many nodes it is served.
//!
//! The conversation is a topic with a history: a visitor's message goes to all processes, each keeps the recent ones, and a new node
//! gets them from another. So the conversation outlives each node, and no store outside of the program keeps it.

mod board;
mod page;
mod room;
mod visit;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use multi_node::{Handle, Options, http_with, listen};

use crate::room::{BoxError, Message, RECENT, Room};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), multi_node::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(options()?, http_with(async |node: Handle| routes(node))).await?;

    // The master keeps the messages too: then they outlive even the end of all nodes at once.
    let _kept = nodes.topic::<Message>("chat").map(|topic| topic.history(RECENT));
    if nodes.is_master() {
        nodes.ready().await?;
        println!("open http://{} in two windows", visible(&nodes.local_addr().to_string()));
    }
    nodes.closed().await
}

fn options() -> Result<Options, multi_node::Error> {
    // Visitors kill nodes for the fun of it, so the pause before a slot's next start stays short enough to watch.
    let options = Options::new().port(8080).nodes(4).backoff(Duration::from_millis(100), Duration::from_secs(2));
    // Only an example lets its visitors deploy.
    options.commands_from_nodes(true).with_env()
}

fn routes(node: Handle) -> Result<Router, BoxError> {
    let room = Room::open(node.clone())?;
    let board = board::put_up(node.clone(), room.clone());
    Ok(Router::new()
        .merge(page::routes())
        .route("/healthz", get(async || "ok\n"))
        .route("/ws", get(visit::enter))
        .with_state(visit::Place { node, room, board }))
}

/// The address as a browser on this machine can open it: one that stands for every interface is none.
fn visible(address: &str) -> String {
    address.replace("0.0.0.0", "localhost").replace("[::]", "localhost")
}
