//! axum in one process, with as many worker threads as the others have processes.

use anyhow::Result;
use axum::{Router, http::Uri, routing::get, serve::ListenerExt};
use tokio::{net::TcpSocket, runtime::Builder};

use super::{
    BACKLOG, HELLO, Start, announce,
    websocket::{WEBSOCKET, upgrade},
    work::{answer, wait},
};

/// Serves from one process.
pub(super) fn serve(start: &Start) -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(start.nodes).enable_all().build()?;
    let address = start.address();
    // In a task, as `#[tokio::main]` programs are advised to: the main thread has no part in the workers' queues.
    let server = runtime.spawn(async move {
        let socket = TcpSocket::new_v4()?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        announce(listener.local_addr()?.port(), &[])?;
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        anyhow::Ok(axum::serve(listener, router()).await?)
    });
    runtime.block_on(server)?
}

/// What it serves, and the library too.
pub(super) fn router() -> Router {
    Router::new().route("/", get(|| async { HELLO })).route(WEBSOCKET, get(upgrade)).fallback(other)
}

async fn other(uri: Uri) -> &'static str {
    if let Some(wait) = wait(uri.path()) {
        wait.await;
    }
    answer(uri.path())
}
