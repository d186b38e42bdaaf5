//! Nodes that leave a core dump as they end.

use multi_node_it::{client, needs, send, within};
use rustix::process::Signal;

use crate::command::{Running, app, limited, pids};

#[tokio::test]
async fn a_node_that_dumps_its_core_is_replaced_and_the_others_serve_on() {
    if !needs::program("python3") {
        return;
    }
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let args = ["-n", "2", "--bind", "127.0.0.1:0", "--", "python3", &app("plain.py")];
        let mut command = limited("ulimit -c unlimited", &args);
        // Where the kernel writes it (core(5)), if it does so here.
        command.current_dir(folder.path());
        let mut running = Running::of(command);
        let addr = running.addr().await;
        running.ready(2).await;
        let old = pids(addr, 2).await;
        send(old[0], Signal::ABORT);
        running.logged("ended by SIGABRT while serving; starting again at once").await;
        running.ready(1).await;
        for _ in 0..20 {
            client::get(addr, "/").await.expect("an answer");
        }
        let new = pids(addr, 2).await;
        assert!(new.contains(&old[1]) && !new.contains(&old[0]), "{old:?} became {new:?}");
        let cores = std::fs::read_dir(folder.path()).expect("a folder of ours").count();
        println!("{cores} core dumps in the working directory");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
