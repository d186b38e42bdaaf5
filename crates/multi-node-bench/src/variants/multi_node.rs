//! The library itself.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http_body_util::Full;
use hyper::{Request, Response};
use multi_node::{
    Error, Nodes, Options, http, listen,
    mesh::Peer,
    servers::{Http, Servers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
};

use super::{
    Start, announce_pids,
    axum::router,
    websocket::{self, WEBSOCKET},
    work::{answer, wait},
};

/// Serves from `start.nodes` nodes under a master, which is this process; in a node it is one of them.
pub(super) fn serve(start: &Start) -> Result<()> {
    if !start.streams {
        return serve_all(options(start.nodes, start.port), start.threads, Hello);
    }
    runtime(start.threads)?.block_on(async {
        let mut nodes = listen_with(start.nodes, start.port).await?;
        let _streams = meet(&mut nodes, start.nodes).await?;
        live(nodes).await
    })
}

/// The streams to all others, once every process has its own.
async fn meet(nodes: &mut Nodes, others: usize) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    while peers.len() < others {
        peers.push(nodes.next_peer().await.context("another process")?);
    }
    for peer in &mut peers {
        if nodes.is_master() {
            peer.read_u8().await?;
        } else if peer.is_master() {
            peer.write_u8(1).await?;
        }
    }
    Ok(peers)
}

/// The same with axum's router as its service.
pub(super) fn serve_router(start: &Start) -> Result<()> {
    serve_all(options(start.nodes, start.port), start.threads, router())
}

/// The same by these options, with another service.
pub(crate) fn serve_all<S>(options: Options, threads: usize, service: S) -> Result<()>
where
    S: Send + 'static,
    Http<S>: Into<Servers>,
{
    runtime(threads)?.block_on(async { live(listen(options, http(service)).await?).await })
}

/// Announces the server once all of it serves, and serves on.
async fn live(nodes: Nodes) -> Result<()> {
    if nodes.is_master() {
        nodes.ready().await?;
        let port = nodes.local_addr().tcp().context("a TCP address")?.port();
        announce_pids(port, nodes.status().slots.into_iter().filter_map(|slot| slot.pid))?;
    }
    until_end(&nodes).await
}

fn runtime(threads: usize) -> Result<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}

/// Serves on until the program ends, which for a node may be the bench's killing its master.
pub(crate) async fn until_end(nodes: &Nodes) -> Result<()> {
    match nodes.closed().await {
        Ok(()) | Err(Error::MasterGone) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// This number of nodes on the loopback address, without a log, so that what is measured is the work.
pub(crate) fn options(nodes: usize, port: u16) -> Options {
    Options::new().host("127.0.0.1").port(port).nodes(nodes).log_to_stderr(false)
}

/// The hello server under the library.
pub(crate) async fn listen_with(nodes: usize, port: u16) -> Result<Nodes> {
    Ok(listen(options(nodes, port), http(Hello)).await?)
}

/// What the hand-made servers do in a closure.
#[derive(Debug, Clone)]
pub(crate) struct Hello;

impl tower_service::Service<Request<multi_node::servers::RequestBody>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<multi_node::servers::RequestBody>) -> Self::Future {
        let path = request.uri().path();
        if path == WEBSOCKET {
            return Either::Left(ready(Ok(websocket::accept(request))));
        }
        match wait(path) {
            None => Either::Left(ready(hello(path))),
            Some(wait) => Either::Right(Box::pin(async move {
                wait.await;
                hello("/")
            })),
        }
    }
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn hello(path: &str) -> Answer {
    Ok(Response::new(Full::new(Bytes::from_static(answer(path).as_bytes()))))
}
