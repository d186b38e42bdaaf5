//! WebSockets that are closed with a notice before their node ends: `cargo run --example websocket`. After a reload the clients reconnect to other
//! nodes, each at another moment.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::get;
use multi_node::{Error, Handle, Options, http_with, listen};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let app = async |node: Handle| Ok::<_, Error>(Router::new().route("/", get(enter)).with_state(node));
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http_with(app)).await?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("serving on ws://{}", nodes.local_addr());
    }
    nodes.closed().await
}

async fn enter(upgrade: WebSocketUpgrade, State(node): State<Handle>) -> Response {
    upgrade.on_upgrade(async move |socket| {
        // An error means that the client has gone.
        let _ = echo(socket, node).await;
    })
}

/// Sends back what comes, until the client is done or this node drains.
async fn echo(mut socket: WebSocket, node: Handle) -> Result<(), axum::Error> {
    let notice = node.drain_notice();
    loop {
        tokio::select! {
            message = socket.recv() => match message.transpose()? {
                Some(Message::Text(text)) => socket.send(Message::Text(format!("{}: {text}", node.id()).into())).await?,
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
            () = notice.draining() => {
                let restart = CloseFrame { code: close_code::RESTART, reason: "restart".into() };
                return socket.send(Message::Close(Some(restart))).await;
            }
        }
    }
}
