//! gRPC by tonic, here its health service: `cargo run --example grpc`, then
//! `grpcurl -plaintext 127.0.0.1:8080 grpc.health.v1.Health/Check`. A program adds its own services by `add_service`.
//!
//! In a reload each client gets GOAWAY: its calls are finished, and it connects again to another node (worker process).

use axum::Router;
use multi_node::{Error, Handle, Options, http_with, listen};
use tonic::service::Routes;
use tonic_health::ServingStatus;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http_with(services)).await?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("serving on http://{}", nodes.local_addr());
    }
    nodes.closed().await
}

async fn services(node: Handle) -> Result<Router, Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(async move {
        node.draining().await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
    });
    Ok(Routes::new(health).into_axum_router())
}
