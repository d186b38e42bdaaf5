//! Visitors of different processes talk to each other, and any of them can kill the process that serves them.
//!
//! `cargo run --release --example chat`, then open <http://localhost:8080/>. `PORT`, `HOST` and `NODES` in the
//! environment change where and by how many nodes it is served.
//!
//! Every process, the master included, keeps the recent messages in its own [`Room`]. A visitor's message goes to the other
//! rooms over the mesh, and a new node gets the recent messages from all the others. So the conversation outlives each node,
//! and no store outside of the program keeps it.

mod board;
mod page;
mod room;
mod visit;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use multi_node::{Handle, Options, http_with, listen};

use crate::room::Room;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), multi_node::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let room = Room::open();
    let served = room.clone();
    let app = async move |node: Handle| Ok::<_, std::convert::Infallible>(routes(node, served));
    let mut nodes = listen(options()?, http_with(app)).await?;

    if nodes.is_master() {
        nodes.ready().await?;
        println!("open http://{} in two windows", visible(&nodes.local_addr().to_string()));
    }
    while let Some(peer) = nodes.next_peer().await {
        tokio::spawn(room::share(room.clone(), peer));
    }
    nodes.closed().await
}

fn options() -> Result<Options, multi_node::Error> {
    // Visitors kill nodes for the fun of it, so the pause before a slot's next start stays short enough to watch.
    let options = Options::new().port(8080).nodes(4).backoff(Duration::from_millis(100), Duration::from_secs(2));
    options.with_env()
}

fn routes(node: Handle, room: Room) -> Router {
    let board = board::put_up(node.clone(), room.clone());
    Router::new()
        .merge(page::routes())
        .route("/healthz", get(async || "ok\n"))
        .route("/ws", get(visit::enter))
        .with_state(visit::Place { node, room, board })
}

/// The address as a browser on this machine can open it: one that stands for every interface is none.
fn visible(address: &str) -> String {
    address.replace("0.0.0.0", "localhost").replace("[::]", "localhost")
}
