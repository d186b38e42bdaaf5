//! The end that somebody asks for while clients are there.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use multi_node_it::{client, needs, send_with_group, within};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::command::{Running, app, multi_node};

/// A request that a node works on.
pub(crate) struct InFlight(TcpStream);

impl InFlight {
    /// Returns when the head of the answer is there, the body of which takes a while.
    pub(crate) async fn begun(addr: SocketAddr, path: &str) -> InFlight {
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
    pub(crate) async fn body(mut self) -> String {
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
    let own =
        multi_node(&["run", "--name", &name, "-n", "2", "--bind", "127.0.0.1:0", "--", "node", &app("server.js")]);
    let own = own.as_std();
    let words: Vec<_> =
        command.iter().map(std::ffi::OsStr::new).chain([own.get_program()]).chain(own.get_args()).collect();
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
    if !needs::program("node") || !needs::program("timeout") {
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
    if !needs::program("node") {
        return;
    }
    within(60, async {
        for signal in [Signal::INT, Signal::TERM].repeat(2) {
            ends_once(&[], |pid| send_with_group(pid, signal)).await;
        }
    })
    .await;
}

/// A balancer that does not know of the shutdown: it sends a request on a new connection each time until it is refused.
/// Returns how many requests were answered, and what happened to the others.
async fn asks_until_refused(addr: SocketAddr) -> (usize, Vec<String>) {
    let (mut answered, mut lost) = (0, Vec::new());
    loop {
        match client::get(addr, "/").await {
            Ok(answer) if answer.status == 200 => answered += 1,
            Ok(answer) => lost.push(format!("status {}", answer.status)),
            Err(error) if is_refusal(&error) => return (answered, lost),
            Err(error) => lost.push(format!("{error:#}")),
        }
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Two nodes that shut down after four seconds: no client loses a request until then, and none waits in vain afterwards.
pub(crate) async fn serves_until_the_delay_is_over(name: &str, args: &[&str]) {
    const DELAY: Duration = Duration::from_secs(4);
    within(60, async {
        let options = ["-n", "2", "--bind", "127.0.0.1:0", "--shutdown-delay", "4s"];
        let mut running = Running::start(&[&options, args].concat());
        let addr = running.addr().await;
        running.ready(2).await;
        let slow = InFlight::begun(addr, "/sleep/7000").await;
        running.signal(Signal::TERM);
        let begun = Instant::now();
        let clients: JoinSet<_> = (0..4).map(|_| asks_until_refused(addr)).collect();
        let (answered, lost): (Vec<usize>, Vec<Vec<String>>) = clients.join_all().await.into_iter().unzip();
        let (refused, answered, lost) = (begun.elapsed(), answered.iter().sum::<usize>(), lost.concat());
        println!("{name}: {answered} answered, {} lost {lost:?}, refused after {refused:?}", lost.len());
        assert!(lost.is_empty() && answered > 20, "{name}: {answered} answered, lost {lost:?}");
        assert!(refused >= DELAY, "{name}: refused after {refused:?}");
        assert!(!slow.body().await.is_empty(), "{name}: what was in flight is answered");
        assert_eq!(running.exit().await, Some(0), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_no_node_takes_from_delays_the_end_for_half_of_the_drain_at_most() {
    within(60, async {
        let options =
            ["-n", "1", "--bind", "127.0.0.1:0", "--ready=age", "--ready-after=100ms", "--drain-timeout", "2s"];
        let mut running = Running::start(&[&options[..], &["--", "sleep", "1000"]].concat());
        let addr = running.addr().await;
        running.ready(1).await;
        let _waits = TcpStream::connect(addr).await.expect("it waits in the queue");
        let begun = Instant::now();
        running.signal(Signal::TERM);
        running.logged("connections wait that no node takes").await;
        running.logged("ended by SIGTERM, drained in").await;
        // The node would cut what is left half a second before the deadline, and this is half of that.
        assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
        assert_eq!(running.exit().await, Some(0));
    })
    .await;
}
