//! The end that somebody asks for while clients of fetched servers are there.

use std::io::ErrorKind;
use std::time::Duration;

use multi_node_it::{client, within};
use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{express, python};
use crate::command::{Running, app};
use crate::ending::{InFlight, serves_until_the_delay_is_over};

#[tokio::test]
async fn a_balancer_loses_nothing_with_gunicorn() {
    let Some(path) = python("gunicorn") else { return };
    serves_until_the_delay_is_over("gunicorn", &["-e", &path, "--", "python3", "-m", "gunicorn", "server:wsgi"]).await;
}

#[tokio::test]
async fn a_balancer_loses_nothing_with_uvicorn() {
    let Some(path) = python("uvicorn") else { return };
    let program = ["-e", &path, "--", "python3", "-m", "uvicorn", "--no-access-log", "--fd", "{fd}", "server:asgi"];
    serves_until_the_delay_is_over("uvicorn", &program).await;
}

#[tokio::test]
async fn a_balancer_loses_nothing_with_express() {
    let Some(modules) = express() else { return };
    serves_until_the_delay_is_over("express", &["-e", &modules, "--", "node", &app("express.js")]).await;
}

#[tokio::test]
async fn what_waits_in_the_queue_is_answered_and_who_comes_later_is_refused_at_once() {
    let Some(path) = python("gunicorn") else { return };
    within(60, async {
        // A worker that does one thing at a time.
        let program = ["-e", &path, "--", "python3", "-m", "gunicorn", "server:wsgi"];
        let mut running = Running::start(&[&["-n", "1", "--bind", "127.0.0.1:0"][..], &program].concat());
        let addr = running.addr().await;
        running.ready(1).await;
        let slow = InFlight::begun(addr, "/sleep/2000").await;
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let mut client = client::Client::connect(addr).await.expect("a connection");
            client.ask("/").await.expect("sent");
            waiting.push(client);
        }
        running.signal(Signal::TERM);
        running.logged("drains, for").await;
        let refused = loop {
            if let Err(error) = TcpStream::connect(addr).await {
                break error;
            }
        };
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let still_waiting = tokio::time::timeout(Duration::ZERO, waiting[0].answer()).await;
        assert!(still_waiting.is_err(), "the worker is busy, so that nobody was refused for want of clients");
        assert!(slow.body().await.starts_with("wsgi "));
        for mut client in waiting {
            assert_eq!(client.answer().await.expect("an answer").status, 200);
        }
        assert_eq!(running.exit().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_has_no_new_clients_either() {
    let Some(path) = python("gunicorn") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("app.sock");
    let bind = format!("unix:{}", socket.display());
    within(60, async {
        let program = ["-e", &path, "--", "python3", "-m", "gunicorn", "server:wsgi"];
        let mut running = Running::start(&[&["-n", "1", "--bind", &bind][..], &program].concat());
        running.ready(1).await;
        let mut clients = Vec::new();
        for at in ["/sleep/1500", "/", "/"] {
            let mut client = client::Client::connect_unix(&socket).await.expect("a connection");
            client.ask(at).await.expect("sent");
            clients.push(client);
        }
        running.signal(Signal::TERM);
        while client::Client::connect_unix(&socket).await.is_ok() {}
        for client in &mut clients {
            assert_eq!(client.answer().await.expect("an answer").status, 200);
        }
        assert_eq!(running.exit().await, Some(0));
        assert!(!socket.exists());
    })
    .await;
}
