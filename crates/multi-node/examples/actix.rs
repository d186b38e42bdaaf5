//! A server that accepts connections itself, here actix-web: `cargo run --release --example actix`, then `curl
//! http://127.0.0.1:8080/`. It gets the listener, and every node accepts from it independently.

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use multi_node::{Handle, Listener, Options, listen, raw};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), multi_node::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, raw(serve)).await?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("serving on http://{}", nodes.local_addr());
    }
    nodes.closed().await
}

/// Serves until this node drains: then actix finishes what it has in flight.
async fn serve(listener: Listener, node: Handle) -> std::io::Result<()> {
    let server = server(&listener, &node)?;
    let handle = server.handle();
    tokio::spawn(async move {
        node.draining().await;
        handle.stop(true).await;
    });
    server.await
}

fn server(listener: &Listener, node: &Handle) -> std::io::Result<Server> {
    let greeting = format!("hello from {} (pid {})\n", node.id(), std::process::id());
    let app = move || {
        let greeting = greeting.clone();
        App::new().route("/", web::get().to(move || std::future::ready(greeting.clone())))
    };
    // The library handles the signals, and signals when to stop.
    let server = HttpServer::new(app).workers(1).disable_signals();
    let server = listener.std_tcp()?.into_iter().try_fold(server, HttpServer::listen)?;
    Ok(server.run())
}
