//! WebSockets of the servers: each stays open until its client leaves, and only answers pings.

use axum::extract::WebSocketUpgrade;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::server::create_response_with_body, protocol::Role},
};

/// The path by which one is asked for.
pub(crate) const WEBSOCKET: &str = "/ws";

/// What axum does with such a request.
pub(super) async fn upgrade(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
}

/// The same by hyper alone.
pub(super) fn accept<B>(mut request: Request<B>) -> Response<Full<Bytes>> {
    let Ok(response) = create_response_with_body(&request, Full::default) else {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return refused;
    };
    tokio::spawn(rest(hyper::upgrade::on(&mut request)));
    response
}

/// A client that breaks off has left too.
async fn rest(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let stream = TokioIo::<Upgraded>::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(_)) = socket.next().await {}
}
