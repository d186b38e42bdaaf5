//! Routes of the fixture that show what the library does to requests and their bodies.

use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Request};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use multi_node::{ConnInfo, Handle};
use serde_json::{Value, json};

/// The longest piece of an answer of `/bytes`.
const PIECE: usize = 16 << 10;

/// All of them.
pub fn serving() -> Router {
    Router::new()
        .route("/who", get(who))
        .route("/panic", get(panics))
        .route("/echo", post(echo))
        .route("/bytes/{count}", get(bytes))
}

/// What the request's extensions tell.
async fn who(request: Request) -> Json<Value> {
    let extensions = request.extensions();
    let connect_info = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.to_string());
    let ends = extensions.get::<ConnInfo>().map(|info| (info.peer.to_string(), info.local.to_string()));
    let id = extensions.get::<Handle>().map(|handle| handle.id().to_string());
    Json(json!({ "connect_info": connect_info, "ends": ends, "id": id, "version": format!("{:?}", request.version()) }))
}

async fn panics() {
    panic!("a bug in a handler");
}

/// Sends the body back while it still comes.
async fn echo(body: Body) -> Response {
    Response::new(body)
}

/// So many bytes, in pieces, without a `content-length`.
async fn bytes(Path(count): Path<usize>) -> Response {
    let pieces =
        (0..count).step_by(PIECE).map(move |at| Ok::<_, std::convert::Infallible>(piece(at..(at + PIECE).min(count))));
    Response::new(Body::from_stream(stream::iter(pieces)))
}

/// What stands at these places of an endless stream that repeats itself nowhere near.
pub fn piece(range: std::ops::Range<usize>) -> Bytes {
    range.map(|at| (at % 251) as u8).collect()
}
