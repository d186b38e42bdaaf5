//! The workers of a fetched server, when the command is killed.

use multi_node_it::{port, procfs, within};

use super::python;
use crate::guard::{all_end, family, kill, name, start, until};

#[tokio::test]
async fn workers_of_uvicorn_end_with_a_killed_master_and_the_next_start_binds() {
    let Some(path) = python("uvicorn") else { return };
    within(60, async {
        let (name, held) = (name("uvicorn"), port::Held::new().expect("a port"));
        let addr = held.addr().to_string();
        let options = ["-n", "1", "--bind", &addr, "--drain-timeout", "2s", "-e", &path, "--"];
        let uvicorn = ["python3", "-m", "uvicorn", "--workers", "2", "--fd", "{fd}", "server:asgi"];
        let args = [&options[..], &uvicorn].concat();
        let mut running = start(&name, &args);
        running.ready(1).await;
        // The node, its two workers, and Python's tracker of what they share.
        let node = procfs::children(running.pid())[0];
        until(|| family(node).len() >= 3).await;
        let all = family(node);
        kill(&mut running).await;
        let mut next = start(&name, &args);
        next.ready(1).await;
        all_end(&all).await;
        assert_eq!(next.stop().await, Some(0));
        assert_eq!(procfs::of_instance(&name), [0; 0]);
    })
    .await;
}
