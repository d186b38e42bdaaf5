//! A server that knows nothing of multi-node: axum on the socket that `listenfd` finds, with a drain on SIGTERM.
//! `/` answers `listenfd PID`.

use anyhow::Context;
use axum::{Router, routing::get};
use listenfd::ListenFd;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let listener = ListenFd::from_env().take_tcp_listener(0)?.context("no listening socket was handed off")?;
    listener.set_nonblocking(true)?;
    let app = Router::new().route("/", get(|| async { format!("listenfd {}", std::process::id()) }));
    let mut terminate = signal(SignalKind::terminate())?;
    let stopped = async move {
        let _ = terminate.recv().await;
    };
    axum::serve(tokio::net::TcpListener::from_std(listener)?, app).with_graceful_shutdown(stopped).await?;
    Ok(())
}
