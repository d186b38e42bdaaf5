//! A master that is stopped for a while, as by Ctrl-Z, and ended twice.

use std::time::Duration;

use multi_node_it::{needs, procfs, within};
use rustix::process::Signal;

use crate::command::Running;

/// Sends WATCHDOG=1 at short intervals, and does not end on its stop signal.
const SCRIPT: &str = "
import os, signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1))
notify.send(b'READY=1')
while True:
    notify.send(b'WATCHDOG=1')
    time.sleep(0.05)
";

#[tokio::test]
async fn a_master_that_was_stopped_takes_no_node_for_hung_and_a_second_signal_ends_all_at_once() {
    if !needs::program("python3") {
        return;
    }
    within(30, async {
        let options = ["-n", "2", "--watchdog", "1s", "--ready", "notify", "--drain-timeout", "1h", "--"];
        let mut running = Running::start(&[&options[..], &["python3", "-c", SCRIPT]].concat());
        running.ready(2).await;
        let nodes = procfs::children(running.pid());
        running.signal(Signal::TSTP);
        while !procfs::is_stopped(running.pid()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Longer than the time within which a node has to send something.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        running.signal(Signal::CONT);
        let status = running.command(&["status", "--json"]).await;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
        assert_eq!(status["ready"], true, "{status}");
        assert_eq!(procfs::children(running.pid()), nodes);

        running.signal(Signal::INT);
        running.logged("drains, for 3600 s at most").await;
        // One within a second of the first is the same.
        tokio::time::sleep(Duration::from_secs(1)).await;
        running.signal(Signal::INT);
        assert_eq!(running.exit().await, Some(0));
        assert!(!nodes.into_iter().any(procfs::is_alive));
    })
    .await;
}
