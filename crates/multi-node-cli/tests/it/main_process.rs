//! Programs of which another process counts than the one that was started: `MAINPID=` (sd_notify(3)).

use multi_node_it::{needs, procfs, send, within};
use rustix::process::Signal;

use crate::command::{Running, json_of};

/// Runs one node by this script of a shell.
fn start(script: &str) -> Running {
    Running::start(&["-n", "1", "--ready", "notify", "--", "sh", "-c", script])
}

/// The process that is named next.
async fn main(running: &mut Running) -> u32 {
    pid(&running.logged("is another process now").await)
}

/// The last word of the line.
fn pid(line: &str) -> u32 {
    line.rsplit("pid=").next().and_then(|pid| pid.trim().parse().ok()).expect("a pid")
}

async fn shown(running: &Running) -> serde_json::Value {
    json_of(&["status", "--name", &running.name]).await["slots"][0]["pid"].clone()
}

const WAITS: &str = "sleep 1000 & systemd-notify --ready MAINPID=$!; wait $!";

#[tokio::test]
async fn the_end_of_the_process_that_counts_is_the_nodes_end() {
    if !needs::program("systemd-notify") {
        return;
    }
    within(30, async {
        let mut running = start(WAITS);
        let pid = main(&mut running).await;
        assert_eq!(shown(&running).await, pid);
        send(pid, Signal::KILL);
        // As its parent, which has waited for it, passes it on.
        running.logged("ended with exit code 137 while serving").await;
        let next = main(&mut running).await;
        assert_eq!(shown(&running).await, next);
        assert_eq!(running.stop().await, Some(0));
        assert!(!procfs::is_alive(next), "the signal to end went to it");
    })
    .await;
}

const FORKS_AWAY: &str = "sleep 1000 & systemd-notify --ready MAINPID=$!; exit 0";

#[tokio::test]
async fn a_node_lives_on_with_the_process_that_counts() {
    if !needs::program("systemd-notify") {
        return;
    }
    within(30, async {
        let mut running = start(FORKS_AWAY);
        main(&mut running).await;
        let upgraded = running.command(&["upgrade"]).await;
        assert_eq!(upgraded.status.code(), Some(0), "{upgraded:?}");
        let pid = main(&mut running).await;
        running.logged("upgrade done").await;
        while procfs::zombies(running.pid()).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(shown(&running).await, pid, "what was started has ended, and the node has not");
        send(pid, Signal::KILL);
        running.logged("ended with unknown status while serving").await;
        let next = main(&mut running).await;
        assert_eq!(running.stop().await, Some(0));
        assert!(!procfs::is_alive(next));
    })
    .await;
}

#[tokio::test]
async fn no_process_of_others_can_be_named() {
    if !needs::program("systemd-notify") {
        return;
    }
    within(30, async {
        let mut running = start("systemd-notify --ready MAINPID=1; exec sleep 1000");
        let pid = pid(&running.logged("started").await);
        running.logged("MAINPID names no process of the node").await;
        assert_eq!(shown(&running).await, pid);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
