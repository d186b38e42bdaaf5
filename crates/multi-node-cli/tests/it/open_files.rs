//! The limit of open files of `multi-node run` and of its nodes.

use multi_node_it::{procfs, within};

use crate::command::{Running, built, limited, pids};

/// What the command needs for two nodes whose output it collects, with a socket and a name.
const NEEDED: u32 = 64 + 1 + 65 + 7 * 6;

#[tokio::test]
async fn where_it_is_too_low_the_command_ends_with_the_sum() {
    within(30, async {
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--", &built("listenfd_axum")];
        let mut running = Running::of(limited(&format!("ulimit -n {}", NEEDED - 1), &args));
        assert_eq!(running.exit().await, Some(1));
        let said = format!(
            "the limit of open files is {}, and the master needs {NEEDED}: 64 for itself + 1 listening sockets \
             + 65 for the control socket and metrics + 42 for 7 nodes at once, of which two generations may drain (6 each); \
             raise it",
            NEEDED - 1
        );
        assert!(running.seen.iter().any(|line| line.contains(&said)), "{:?}", running.seen);
    })
    .await;
}

#[tokio::test]
async fn programs_get_the_limit_that_the_command_was_started_with_and_no_streams() {
    within(60, async {
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--", &built("listenfd_axum")];
        let mut running = Running::of(limited(&format!("ulimit -S -n {NEEDED}"), &args));
        let addr = running.addr().await;
        running.ready(2).await;
        let (own, most) = procfs::open_files(running.pid()).expect("it lives");
        assert_eq!(own, most, "the command itself may open more");
        for round in 0..2 {
            for pid in pids(addr, 2).await {
                let (own, _) = procfs::open_files(pid).expect("it lives");
                assert_eq!(own, NEEDED.to_string());
                let open = procfs::fds(pid).expect("it lives");
                assert!(open < 32, "a node has {open}, and no streams");
            }
            let open = procfs::fds(running.pid()).expect("it lives");
            assert!(open <= NEEDED as usize, "the command has {open} of {NEEDED}");
            if round == 0 {
                // The next program of the command's process knows it too.
                assert!(running.command(&["upgrade"]).await.status.success());
                running.ready(2).await;
            }
        }
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
