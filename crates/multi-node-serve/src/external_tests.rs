//! A server whose event loop the test plays.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream as StdUnixStream;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::*;
use crate::conn_info::ConnInfo;
use crate::idle_conn::IdleConn;
use crate::{Drain, Here, LoadTable, Place, Serving, Socket, start};

/// No test waits longer for anything; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(1000);

struct Program {
    acceptor: ExternalAcceptor,
    serving: Serving,
    load: LoadTable,
    address: SocketAddr,
}

impl Program {
    async fn start(handoff_sender: Option<mpsc::Sender<IdleConn>>) -> Program {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("a socket can be");
        let address = listener.local_addr().expect("it is bound");
        let (load, (_, signal)) = (LoadTable::local(), Drain::new());
        let (give, acceptor) = oneshot::channel();
        let server = external(|_: Here| async {
            Ok::<_, BoxError>(move |acceptor| {
                let _ = give.send(acceptor);
            })
        });
        let place = Place { handoff_sender, ..Place::new(load.clone(), 0) };
        let sockets = vec![vec![Socket::Tcp(listener)]];
        let serving = start(server.into(), sockets, place, Here, signal).await.expect("it starts");
        let acceptor = timeout(LIMIT, acceptor).await.expect("it is given").expect("to this test");
        Program { acceptor, serving, load, address }
    }

    async fn take(&mut self) -> Option<AcceptedConn> {
        timeout(LIMIT, poll_fn(|cx| self.acceptor.poll_take(cx))).await.expect("one comes, or the end")
    }

    /// Another process hands a connection over; what is returned is its client.
    fn handoff(&self) -> UnixStream {
        let (socket, client) = StdUnixStream::pair().expect("a pair");
        for end in [&socket, &client] {
            end.set_nonblocking(true).expect("a socket can be");
        }
        let info = ConnInfo { peer: Addr::Unix, local: Addr::Unix };
        let place = self.serving.handoff_receiver().reserve(0).expect("there is a place");
        place.adopt(IdleConn::arrived(0, OwnedFd::from(socket), Bytes::new(), info));
        UnixStream::from_std(client).expect("in a runtime")
    }
}

async fn ended(mut client: UnixStream) {
    let read = timeout(LIMIT, client.read(&mut [0])).await.expect("the end comes");
    assert_eq!(read.expect("no reset"), 0);
}

#[tokio::test]
async fn a_loop_that_has_closed_takes_none_until_it_opens_again() {
    let mut program = Program::start(None).await;
    let _first = TcpStream::connect(program.address).await.expect("it listens");
    let taken = program.take().await.expect("a connection");
    assert_eq!(program.acceptor.local_addrs(), [Addr::Tcp(program.address)]);
    assert_eq!(program.load.counts(0).open, 1);
    drop(taken);
    assert_eq!(program.load.counts(0).open, 0, "it counts as long as it is kept");
    program.acceptor.close();
    let _second = TcpStream::connect(program.address).await.expect("it listens");
    assert!(program.take().await.is_none());
    program.acceptor.reopen();
    assert!(program.take().await.is_some());
}

#[tokio::test]
async fn requests_are_counted_as_the_loop_tells_them() {
    let program = Program::start(None).await;
    let requests = program.acceptor.requests();
    requests.began(5);
    requests.ended(3);
    requests.failed(2);
    let counts = program.load.counts(0);
    assert_eq!((counts.requests, counts.in_flight, program.load.faults(0).errors), (5, 2, 2));
}

#[tokio::test]
async fn there_is_a_way_out_as_long_as_somebody_receives() {
    assert!(!Program::start(None).await.acceptor.handoff().is_open());
    let (handoff_sender, idle_conns) = mpsc::channel(1);
    let program = Program::start(Some(handoff_sender)).await;
    assert!(program.acceptor.handoff().is_open());
    drop(idle_conns);
    assert!(!program.acceptor.handoff().is_open());
}

#[tokio::test(start_paused = true)]
async fn connections_from_elsewhere_may_be_idle_for_as_long_as_the_loop_says() {
    let program = Program::start(None).await;
    program.acceptor.set_idle_timeout(Duration::from_secs(5));
    let begin = Instant::now();
    ended(program.handoff()).await;
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_loop_that_has_closed_cannot_let_them_wait_longer() {
    let mut program = Program::start(None).await;
    let client = program.handoff();
    program.acceptor.close();
    program.acceptor.set_idle_timeout(LIMIT * 2);
    ended(client).await;
}
