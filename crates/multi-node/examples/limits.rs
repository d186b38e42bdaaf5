//! A limit that counts for all nodes (worker processes) together: 100 requests a minute from each client, and not 100 from each node.
//!
//! `PORT=8080 cargo run --example limits`, then `curl -i localhost:8080`.

use std::convert::Infallible;

use axum::Router;
use axum::routing::get;
use multi_node::limits::{Quota, RateLimitLayer};
use multi_node::{Handle, Options, http_with, listen};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), multi_node::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http_with(app)).await?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("http://{}", nodes.local_addr());
    }
    nodes.closed().await
}

async fn app(node: Handle) -> Result<Router, Infallible> {
    let requests = node.limit("requests", Quota::per_minute(100));
    Ok(Router::new().route("/", get(async || "hello\n")).layer(RateLimitLayer::new(requests)))
}
