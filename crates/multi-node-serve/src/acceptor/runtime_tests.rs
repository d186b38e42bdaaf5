//! Runtimes that wait in a listening socket's queue themselves.

use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use multi_node_sys::epoll::{accept_tcp, monotonic_ms};
use tokio::runtime::{Builder, Runtime};

use super::{Acceptor, Turn, wake_fd};
use crate::load::LoadTable;

/// No test takes longer; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(30);

struct Part {
    acceptor: Acceptor,
    turn: Turn,
    listener: TcpListener,
}

/// Processes of one listening socket.
fn parts<const PARTS: usize>() -> [Part; PARTS] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("a socket can be");
    let (load, wake_fd) = (LoadTable::on_heap(PARTS), wake_fd().expect("an eventfd"));
    std::array::from_fn(|index| {
        let line = load.line(index).expect("there is one");
        line.begin_serving(monotonic_ms());
        let file: OwnedFd = listener.as_fd().try_clone_to_owned().expect("files are left");
        let wake_fd = wake_fd.try_clone().expect("files are left");
        let (acceptor, _) = Acceptor::start(load.clone(), line, wake_fd, vec![file]).expect("it starts");
        let turn = acceptor.turn(0);
        Part { acceptor, turn, listener: listener.try_clone().expect("files are left") }
    })
}

impl Part {
    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().expect("it is bound")).expect("it listens")
    }

    /// The next connection. Pending: the process is in the queue.
    fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> Poll<TcpStream> {
        self.turn.wait_in_runtime();
        loop {
            match self.turn.poll_take(cx, || accept_tcp(&self.listener)) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Poll::Ready(taken) => return Poll::Ready(taken.expect("a connection").0),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    async fn next(&mut self) -> TcpStream {
        let next = poll_fn(|cx| self.poll_next(cx));
        tokio::time::timeout(LIMIT, next).await.expect("a connection comes")
    }

    async fn enter(&mut self) {
        let waits = poll_fn(|cx| Poll::Ready(self.poll_next(cx).is_pending())).await;
        assert!(waits, "nobody has connected");
    }

    fn waits_in_runtime(&self) -> bool {
        self.turn.waits_in_loop()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.acceptor.close();
    }
}

fn of_one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_runtime_is_woken_itself_and_the_thread_sleeps_on() {
    let [mut part] = parts();
    of_one_thread().block_on(async {
        part.enter().await;
        let before = part.acceptor.wakes();
        for _ in 0..10 {
            let _client = part.connect();
            part.next().await;
            part.enter().await;
        }
        assert!(part.waits_in_runtime());
        assert_eq!(part.acceptor.wakes(), before);
    });
}

#[test]
fn several_sockets_have_a_mark_each() {
    let [mut one] = parts();
    let [mut other] = parts();
    of_one_thread().block_on(async {
        one.enter().await;
        other.enter().await;
        for _ in 0..3 {
            let _clients = (one.connect(), other.connect());
            one.next().await;
            other.next().await;
        }
        assert!(one.waits_in_runtime() && other.waits_in_runtime());
    });
}

#[test]
fn the_thread_waits_for_a_runtime_of_several_threads() {
    let [mut part] = parts();
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime").block_on(async {
        part.enter().await;
        let before = part.acceptor.wakes();
        let _client = part.connect();
        part.next().await;
        assert!(!part.waits_in_runtime());
        assert!(part.acceptor.wakes() > before);
    });
}

#[test]
fn the_thread_takes_the_place_of_a_runtime_that_has_ended() {
    let [mut part] = parts();
    let first = of_one_thread();
    first.block_on(part.enter());
    assert!(part.waits_in_runtime());
    drop(first);
    let _client = part.connect();
    of_one_thread().block_on(part.next());
    assert!(!part.waits_in_runtime());
}

#[test]
fn who_drops_its_turn_leaves_the_queue() {
    let [mut leaves, mut stays] = parts();
    of_one_thread().block_on(async {
        leaves.enter().await;
        stays.enter().await;
        // It stands first, and is woken alone.
        let _client = leaves.connect();
        leaves.turn = leaves.acceptor.turn(0);
        stays.next().await;
    });
}
