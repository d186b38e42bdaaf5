//! Programs whose start cannot succeed: the command ends, and says why and what to write.

use std::time::{Duration, Instant};

use multi_node_it::{needs, port, within};

use crate::command::{Running, run};

/// Its log, once it has ended with exit code 1.
async fn log_of(args: &[&str]) -> String {
    let ended = run(args).output().await.expect("the command starts");
    let log = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{args:?}: {log}");
    log
}

/// It says that it is ready, and never uses its socket.
const SAYS_READY: &str = "\
import os, socket, sys, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b'READY=1', '\\0' + os.environ['NOTIFY_SOCKET'][1:])
print('it has said so', file=sys.stderr)
time.sleep(1000)
";

#[tokio::test]
async fn a_message_does_not_make_a_program_ready_that_nobody_waits_in() {
    if !needs::program("python3") {
        return;
    }
    within(30, async {
        let program = ["-n", "1", "--bind", "127.0.0.1:0", "--", "python3", "-c", SAYS_READY];
        let log = log_of(&[&["--start-timeout", "5s"], &program[..]].concat()).await;
        assert!(log.contains("it has said so"), "{log}");
        assert!(
            log.contains("it did not become ready within 5 s: nobody waits for connections on 127.0.0.1:"),
            "{log}"
        );
        assert!(log.contains("giving up, since no node was ever ready"), "{log}");
        assert!(!log.contains("taken for ready"), "{log}");

        // With this option the notification suffices.
        let mut running = Running::start(&[&["--ready=notify"], &program[..]].concat());
        running.logged("taken for ready: it notified READY=1").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn age_makes_a_program_with_an_address_ready_only_where_somebody_says_so() {
    within(30, async {
        let program = [
            "-n",
            "1",
            "--bind",
            "127.0.0.1:0",
            "--ready-after",
            "50ms",
            "--start-timeout",
            "1s",
            "--",
            "sleep",
            "1000",
        ];
        let log = log_of(&program).await;
        assert!(
            log.contains("nobody waits for connections on 127.0.0.1:") && !log.contains("taken for ready"),
            "{log}"
        );
        let mut running = Running::start(&[&["--ready=age"], &program[..]].concat());
        running.ready(1).await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn one_that_listens_elsewhere_is_ended_long_before_its_start_times_out() {
    if !needs::program("python3") {
        return;
    }
    within(50, async {
        let begun = Instant::now();
        let port = port::Held::new().expect("a port").addr().port().to_string();
        let program = ["--", "python3", "-m", "http.server", "--bind", "127.0.0.1", &port];
        let log = log_of(&[&["-n", "1", "--bind", "127.0.0.1:0"], &program[..]].concat()).await;
        assert!(begun.elapsed() < Duration::from_secs(40), "the start times out after 60 s");
        let elsewhere = format!(") listens on 127.0.0.1:{port} instead: give it the socket by its number: `{{fd}}`");
        assert!(log.contains("nobody waits for connections on 127.0.0.1:") && log.contains(&elsewhere), "{log}");
    })
    .await;
}

#[tokio::test]
async fn one_whose_address_is_in_use_is_told_why() {
    if !needs::program("python3") {
        return;
    }
    within(30, async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("bound").port().to_string();
        let program = ["--", "python3", "-m", "http.server", "--bind", "127.0.0.1", &port];
        let log = log_of(&[&["-n", "1", "--bind", "127.0.0.1:0"], &program[..]].concat()).await;
        let said =
            "Address already in use; a node that binds an address itself does not use the socket that all nodes share";
        assert!(log.contains(said) && log.contains("`{fd}` in its arguments"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn one_that_ends_before_it_is_ready_is_quoted_and_given_up_however_slow_it_is() {
    within(30, async {
        let script = "sleep 0.3; echo begins >&2; echo 'ModuleNotFoundError: nope' >&2; exit 3";
        let slow = ["-n", "1", "--bind", "127.0.0.1:0", "--crash-loop", "3", "--crash-loop-within", "100ms"];
        let log = log_of(&[&slow[..], &["--", "sh", "-c", script]].concat()).await;
        let last = log.lines().last().unwrap_or_default();
        let quoted =
            "ended with exit code 3 while initializing: its last line of standard error: ModuleNotFoundError: nope";
        assert!(last.contains(quoted), "{log}");
        assert!(log.contains("giving up, since no node was ever ready and this is death 3 in its slot"), "{log}");
    })
    .await;
}
