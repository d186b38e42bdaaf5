use std::net::TcpListener;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::{Drain, Here, Raw, raw};

/// No test waits longer for anything; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(1000);

async fn serving(server: Raw<Here>) -> (Serving, Drain) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("a socket can be");
    let (drain, signal) = Drain::new();
    let place = Place::new(LoadTable::local(), 0);
    let sockets = vec![vec![Socket::Tcp(listener)]];
    (start(server.into(), sockets, place, Here, signal).await.expect("it starts"), drain)
}

#[tokio::test]
async fn a_server_that_ends_before_its_time_is_told_of_with_its_reason() {
    async fn end_of(server: Raw<Here>) -> Result<DrainReport, StartError> {
        let (mut serving, _drain) = serving(server).await;
        timeout(LIMIT, serving.finished()).await.expect("it has ended")
    }
    let ended = |result: Result<(), &'static str>| raw(move |_: Listener, _: Here| async move { result });
    assert!(matches!(end_of(ended(Ok(()))).await, Err(StartError::Ended)));
    let failed = end_of(ended(Err("no database"))).await;
    assert!(matches!(failed, Err(StartError::Failed(error)) if error.to_string() == "no database"));
    let panics = raw(|_: Listener, _: Here| async { if true { panic!("as it is to") } else { Ok::<_, BoxError>(()) } });
    assert!(matches!(end_of(panics).await, Err(StartError::Panicked)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_in_a_drain_has_not_failed() {
    let draining = |listener: Listener, _: Here| async move {
        listener.draining().await;
        Ok::<_, BoxError>(())
    };
    let (mut serving, drain) = serving(raw(draining)).await;
    drain.begin(LIMIT * 2);
    assert!(timeout(LIMIT, serving.failed()).await.is_err());
    assert!(matches!(serving.finished().await, Ok(report) if report == DrainReport::default()));
}
