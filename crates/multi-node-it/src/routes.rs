//! Routes of the fixture that show what the library does to requests and their bodies.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use axum::{Json, Router};
use multi_node::Handle;
use multi_node::servers::ConnInfo;
use multi_node::tls::TlsInfo;
pub use multi_node_bench::routes::piece;
use serde_json::{Value, json};

/// All of them, those that `multi_node_probe` ask for among them.
pub fn serving() -> Router {
    multi_node_bench::routes::serving().route("/who", get(who)).route("/panic", get(panics))
}

/// What the request's extensions tell.
async fn who(request: Request) -> Json<Value> {
    let extensions = request.extensions();
    let connect_info = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.to_string());
    let ends = extensions.get::<ConnInfo>().map(|info| (info.peer.to_string(), info.local.to_string()));
    let id = extensions.get::<Handle>().map(|handle| handle.id().to_string());
    let tls = extensions.get::<TlsInfo>().map(tls);
    let version = format!("{:?}", request.version());
    Json(json!({ "connect_info": connect_info, "ends": ends, "id": id, "version": version, "tls": tls }))
}

fn tls(info: &TlsInfo) -> Value {
    let client = info.client().map(|client| json!({ "common_name": client.common_name, "dns": client.dns_names }));
    let (protocol, server_name) = (info.protocol(), info.server_name());
    let version = format!("{:?}", info.version());
    json!({ "version": version, "protocol": protocol, "server_name": server_name, "resumed": info.is_resumed(), "client": client })
}

async fn panics() {
    panic!("a bug in a handler");
}
