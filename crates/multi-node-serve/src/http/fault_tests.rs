//! Which requests count as failed.

use std::task::Poll;
use std::time::Duration;

use ::http::{Request, Response};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tower_service::Service;

use super::loopback::Server;
use crate::load::Faults;
use crate::{RequestBody, http};

fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/absent", get(|| async { StatusCode::NOT_FOUND }))
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/panic", get(panics))
        .route("/endless", get(std::future::pending::<()>))
}

async fn panics() {
    panic!("a bug in a handler");
}

async fn errors(server: &Server, requests: u64) -> u64 {
    server.until(|counts| counts.requests == requests && counts.in_flight == 0).await;
    server.faults().errors
}

#[tokio::test]
async fn statuses_that_blame_the_server_count_and_others_do_not() {
    let server = Server::start_with(http(routes()), None).await;
    let mut client = server.connect().await;
    for (path, end) in [("/", "hello"), ("/absent", "\r\n\r\n"), ("/broken", "\r\n\r\n"), ("/", "hello")] {
        client.get(path).await;
        client.read_to(end).await;
    }
    assert_eq!(errors(&server, 4).await, 1);
}

#[tokio::test]
async fn a_panic_counts_and_a_client_that_goes_away_does_not() {
    let server = Server::start_with(http(routes()).half_close_timeout(Duration::from_millis(50)), None).await;
    let mut client = server.connect().await;
    client.get("/panic").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(errors(&server, 1).await, 1);
    let mut client = server.connect().await;
    client.get("/endless").await;
    server.until(|counts| counts.in_flight == 1).await;
    drop(client);
    assert_eq!((errors(&server, 2).await, server.faults().aborted), (1, 0));
}

/// A service that fails when it is called, or before.
#[derive(Clone)]
struct Failing {
    ready: bool,
}

impl Service<Request<RequestBody>> for Failing {
    type Response = Response<String>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Response<String>, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(if self.ready { Ok(()) } else { Err(std::io::Error::other("not ready")) })
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        std::future::ready(Err(std::io::Error::other("no answer")))
    }
}

#[tokio::test]
async fn a_service_that_fails_counts() {
    for ready in [true, false] {
        let server = Server::start_with(http(Failing { ready }), None).await;
        let mut client = server.connect().await;
        client.get("/").await;
        client.rest().await;
        assert_eq!(errors(&server, 1).await, 1, "ready: {ready}");
    }
}

#[tokio::test]
async fn what_the_end_of_a_drain_cuts_is_told_apart() {
    let mut server = Server::start_with(http(routes()), None).await;
    let mut client = server.connect().await;
    client.get("/endless").await;
    server.until(|counts| counts.in_flight == 1).await;
    server.drain.begin(Duration::from_millis(10));
    assert_eq!(server.drained().await.aborted, 1);
    server.until(|counts| counts.in_flight == 0).await;
    assert_eq!(server.faults(), Faults { errors: 0, aborted: 1 });
}
