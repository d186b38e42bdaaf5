//! Asking a program over HTTP whether it serves.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How far apart two questions are, and how long an answer is waited for.
const EVERY: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_secs(2);

/// How far apart the questions to a node are that is ready.
const AGAIN: Duration = Duration::from_millis(250);

/// Resolves once a GET of this path at a port of 127.0.0.1 is answered with a success or a redirection.
pub(super) async fn answers(port: u16, path: &str) {
    while !matches!(tokio::time::timeout(ANSWER, status(port, path)).await, Ok(Ok(200..400))) {
        tokio::time::sleep(EVERY).await;
    }
}

/// Resolves once the path is not answered so any more, and says how.
pub(super) async fn fails(port: u16, path: &str) -> String {
    loop {
        tokio::time::sleep(AGAIN).await;
        match tokio::time::timeout(ANSWER, status(port, path)).await {
            Ok(Ok(200..400)) => {}
            Ok(Ok(0)) => return format!("GET {path} on its own port was answered with something that is not HTTP"),
            Ok(Ok(status)) => return format!("GET {path} on its own port was answered with status {status}"),
            Ok(Err(error)) => return format!("GET {path} on its own port was not answered: {error}"),
            Err(_) => return format!("GET {path} on its own port was not answered within {} s", ANSWER.as_secs()),
        }
    }
}

/// The status of the answer, 0 for something that is none.
async fn status(port: u16, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // `HTTP/1.1 200`
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    let status =
        std::str::from_utf8(&start).ok().and_then(|start| start.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok());
    Ok(status.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_a_success_is_taken_for_readiness() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let server = tokio::spawn(async move {
            let mut answered = 0;
            for answer in ["nonsense, and more of it", "HTTP/1.1 503 Not Yet\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("accept");
                let mut request = [0; 512];
                let count = stream.read(&mut request).await.expect("a request");
                assert!(request[..count].starts_with(b"GET /ready HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.expect("answered");
                answered += 1;
            }
            answered
        });
        answers(port, "/ready").await;
        assert_eq!(server.await.expect("no panic"), 3);
    }

    #[tokio::test]
    async fn a_node_that_was_ready_is_asked_until_it_answers_badly() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let server = async {
            for answer in ["HTTP/1.1 204 Yes\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("accept");
                let mut request = [0; 512];
                assert_ne!(stream.read(&mut request).await.expect("a request"), 0);
                stream.write_all(answer.as_bytes()).await.expect("answered");
            }
        };
        let (why, ()) = tokio::join!(fails(port, "/"), server);
        assert!(why.ends_with("was answered with status 500"), "{why}");
        drop(listener);
        let why = fails(port, "/").await;
        assert!(why.contains("was not answered: Connection refused"), "{why}");
    }
}
