//! The end that somebody asks for while clients are there.

use std::net::SocketAddr;

use multi_node_it::{send_with_group, within};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command::{Running, app, is_there, multi_node};

/// A request that a node works on.
struct InFlight(TcpStream);

impl InFlight {
    /// Returns when the head of the answer is there, the body of which takes a while.
    async fn begun(addr: SocketAddr, path: &str) -> InFlight {
        let mut stream = TcpStream::connect(addr).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        InFlight(stream)
    }

    /// The body, as far as it comes.
    async fn body(mut self) -> String {
        let mut body = String::new();
        self.0.read_to_string(&mut body).await.expect("no reset");
        body
    }
}

/// Starts this, which ends in one graceful shutdown by what `end` sends.
async fn ends_once(command: &[&str], end: impl Fn(u32)) {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("test-ending-{}-{number}", std::process::id());
    let own = multi_node(&["run", "--name", &name, "-n", "2", "--bind", "127.0.0.1:0", "--", "node", &app("server.js")]);
    let own = own.as_std();
    let words: Vec<_> = command.iter().map(std::ffi::OsStr::new).chain([own.get_program()]).chain(own.get_args()).collect();
    let mut started = tokio::process::Command::new(words[0]);
    started.args(&words[1..]).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).kill_on_drop(true);
    // As a shell starts a job.
    started.process_group(0);
    let mut running = Running::of(started);
    let addr = running.addr().await;
    running.ready(2).await;
    let request = InFlight::begun(addr, "/sleep/500").await;
    end(running.pid());
    let body = request.body().await;
    assert_eq!(running.exit().await, Some(0));
    assert!(body.starts_with("node "), "the answer was cut: {body:?}");
    let received = running.seen.iter().filter(|line| line.contains("received the signal")).count();
    assert_eq!((received, running.seen.iter().any(|line| line.contains("at once"))), (1, false));
}

#[tokio::test]
async fn timeout_signals_the_process_and_its_group_and_that_is_one_graceful_shutdown() {
    if !is_there("node") || !is_there("timeout") {
        return;
    }
    within(60, async {
        for _ in 0..5 {
            // What it is sent it sends on, as it sends its own at the end of the time.
            ends_once(&["timeout", "60"], |pid| multi_node_it::send(pid, Signal::TERM)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_ctrl_c_that_comes_to_the_process_and_its_group_is_one_graceful_shutdown() {
    if !is_there("node") {
        return;
    }
    within(60, async {
        for signal in [Signal::INT, Signal::TERM].repeat(2) {
            ends_once(&[], |pid| send_with_group(pid, signal)).await;
        }
    })
    .await;
}
