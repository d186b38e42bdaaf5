//! hyper by hand: what both prefork variants do with their listener.

use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use super::{
    websocket::{self, WEBSOCKET},
    work::{answer, wait},
};

/// The runtime of one node.
pub(super) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Serves every connection in a task of its own.
pub(super) async fn accept(listener: &TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    // A client that breaks off is the client's affair; the load generator counts what it missed.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello)).with_upgrades().await;
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if path == WEBSOCKET {
        return Ok(websocket::accept(request));
    }
    if let Some(wait) = wait(path) {
        wait.await;
    }
    Ok(Response::new(Full::new(Bytes::from_static(answer(path).as_bytes()))))
}
