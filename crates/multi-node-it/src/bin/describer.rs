//! A server that answers each request with what it has understood of it: `describer multi-node` by this library in one process, `describer
//! hyper` by hyper alone. It prints its address.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::bail;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use multi_node::{Options, http, listen};
use tokio::net::{TcpListener, TcpStream};

/// The most bytes of a request's body.
const LONGEST_BODY: usize = 1 << 20;
/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("multi-node") => by_multi_node().await,
        Some("hyper") => by_hyper().await,
        other => bail!("multi-node or hyper, and not {other:?}"),
    }
}

async fn by_multi_node() -> anyhow::Result<()> {
    let service = Router::new().fallback(describe);
    let mut nodes = listen(Options::new().port(0).nodes(1), http(service)).await?;
    if nodes.is_master() {
        nodes.handle().ready().await?;
        println!("{}", nodes.local_addrs()[0]);
    }
    while nodes.next_peer().await.is_some() {}
    Ok(nodes.closed().await?)
}

async fn by_hyper() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

/// HTTP/1 answers clients that have shut down their writing side, as ours do; all other settings are hyper's own.
async fn serve(stream: TcpStream) {
    let service = service_fn(async |request: hyper::Request<Incoming>| {
        Ok::<_, Infallible>(describe(request.map(Body::new)).await)
    });
    // An error is what the client has seen, too.
    if begins_http2(&stream).await {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service).await;
    }
}

/// Looks at the first bytes, and leaves them.
async fn begins_http2(stream: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    let mut last = usize::MAX;
    loop {
        let count = stream.peek(&mut first).await.unwrap_or(0);
        if count == PREFACE.len() || count == last || !PREFACE.starts_with(&first[..count]) {
            return first[..count] == *PREFACE;
        }
        last = count;
        // A client that sends the preface in pieces sends them at once.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Method, target, version, headers and body.
async fn describe(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.as_bytes().escape_ascii()));
    let headers: String = headers.collect();
    let body = match to_bytes(body, LONGEST_BODY).await {
        Ok(body) => format!("{} bytes: {}", body.len(), body.escape_ascii()),
        Err(_) => "no whole body".to_owned(),
    };
    let text = format!("{} {} {:?}\n{headers}\n{body}\n", head.method, head.uri, head.version);
    Response::new(Body::from(text))
}
