//! An axum program served by several processes: `cargo run --release --example hello`, then
//! `curl http://127.0.0.1:8080/` a few times. `PORT`, `HOST` and `NODES` change where and by how many.

use axum::Router;
use axum::routing::get;
use multi_node::{Handle, Options, http_with, listen};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), multi_node::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // What stands here runs in every process; what only servers need goes into the closure.
    let app = |node: Handle| async move {
        let greeting = format!("hello from {} (pid {})\n", node.id(), std::process::id());
        Ok::<_, std::convert::Infallible>(Router::new().route("/", get(move || async { greeting })))
    };
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http_with(app)).await?;

    if nodes.is_master() {
        nodes.ready().await?;
        println!("serving on http://{}", nodes.local_addr());
    }
    // Until the last request has been answered.
    nodes.closed().await
}
