use std::future::poll_fn;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use super::*;
use crate::{Drain, LoadTable};

/// A stream, and its client.
fn tcp() -> (Stream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let client = std::net::TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let accepted = listener.accept().expect("a client").0;
    accepted.set_nonblocking(true).expect("a socket can be");
    let line = LoadTable::local().line(0).expect("it has one");
    let open = ConnTracker::new(line, Drain::new().1, None).enter();
    (UnregisteredStream::Tcp(accepted).register(open).expect("in a runtime"), client)
}

#[tokio::test]
async fn a_stream_over_tcp_has_tcps_options() {
    assert!(tcp().0.as_tcp().is_some());
}

#[tokio::test]
async fn what_is_there_is_read_without_waiting() {
    let (stream, mut client) = tcp();
    let mut buffer = [0; 16];
    assert_eq!(
        stream.io.transport().try_read(&mut buffer).map_err(|error| error.kind()),
        Err(io::ErrorKind::WouldBlock)
    );
    client.write_all(b"hello").expect("it is open");
    stream.readable().await.expect("no reset");
    assert_eq!(stream.io.transport().try_read(&mut buffer).expect("it is there"), 5);
    assert_eq!(&buffer[..5], b"hello");
}

#[tokio::test]
async fn bytes_that_wait_are_no_end_and_a_half_close_is_one() {
    let (stream, mut client) = tcp();
    client.write_all(b"!").expect("it is open");
    assert_eq!(poll_fn(|cx| stream.poll_end(cx)).await, None);
    let (stream, client) = tcp();
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(poll_fn(|cx| stream.poll_end(cx)).await, Some(End::HalfClosed));
}

#[tokio::test]
async fn what_is_open_when_the_time_is_over_was_cut_unless_another_process_has_it() {
    let (drain, signal) = Drain::new();
    let tracker = ConnTracker::new(LoadTable::local().line(0).expect("it has one"), signal, None);
    let (finished, aborted, given) = (tracker.enter(), tracker.enter(), tracker.enter());
    drop(finished);
    drain.begin(Duration::ZERO);
    assert_eq!(tracker.aborted(), 2, "both are open still");
    given.handoff();
    drop(aborted);
    assert_eq!((tracker.aborted(), tracker.handed_off()), (1, 1));
}
