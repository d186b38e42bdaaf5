//! What the clients ask for.

use std::{convert::Infallible, ops::Range, time::Duration};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{
        Path, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
    routing::{get, post},
};
use futures_util::stream;
use multi_node::Handle;

/// The longest piece of an answer of `/bytes`.
const PIECE: usize = 16 << 10;

/// All of them.
pub fn serving() -> Router {
    Router::new()
        .route("/bytes/{count}", get(bytes))
        .route("/echo", post(echo))
        .route("/sleep/{ms}", get(sleep))
        .route("/ws", get(websocket))
}

/// This number of bytes, in pieces, without a `content-length`.
async fn bytes(Path(count): Path<usize>) -> Response {
    let pieces = (0..count).step_by(PIECE).map(move |at| Ok::<_, Infallible>(piece(at..(at + PIECE).min(count))));
    Response::new(Body::from_stream(stream::iter(pieces)))
}

/// What stands at these places of an endless stream that repeats itself nowhere near.
pub fn piece(range: Range<usize>) -> Bytes {
    range.map(|at| (at % 251) as u8).collect()
}

/// Sends the body back while it still comes.
async fn echo(body: Body) -> Response {
    Response::new(body)
}

async fn sleep(Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("slept {ms}\n")
}

async fn websocket(Extension(node): Extension<Handle>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| converse(node, socket))
}

/// Echoes what a WebSocket says, until this node drains and it is this one's turn to go.
async fn converse(node: Handle, mut socket: WebSocket) {
    let drain_notice = node.drain_notice();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) if socket.send(Message::Text(text.clone())).await.is_ok() => {}
                // Its pong is sent with the next read.
                Some(Ok(Message::Ping(_))) => {}
                _ => return,
            },
            () = drain_notice.draining() => return leave(socket).await,
        }
    }
}

/// Says drain_notice and waits for the client's, so that nothing it has sent meanwhile resets the connection.
async fn leave(mut socket: WebSocket) {
    // An error is the client's going away.
    if socket.send(Message::Close(None)).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
