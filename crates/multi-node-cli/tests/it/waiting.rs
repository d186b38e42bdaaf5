//! That a program is seen waiting for connections, in whichever way it does.

use std::process::Stdio;

use multi_node_it::{needs, within};
use tokio::process::Command;

use crate::command::{Running, app, built, pids, run};

/// One node of it is ready, since it was seen waiting, and answers.
async fn is_seen(name: &str, program: &[&str]) {
    is_seen_with(&[], name, program).await;
}

async fn is_seen_with(options: &[&str], name: &str, program: &[&str]) {
    within(20, async {
        let mut running = Running::start(&[options, &["-n", "1", "--bind", "127.0.0.1:0", "--"], program].concat());
        let addr = running.addr().await;
        let sign = running.logged("taken for ready").await;
        assert!(sign.contains("it was seen waiting for connections"), "{name}: {sign}");
        running.ready(1).await;
        assert_eq!(pids(addr, 1).await.len(), 1, "{name}");
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn by_each_system_call() {
    if needs::program("python3") {
        for call in ["accept", "select", "poll", "epoll"] {
            is_seen(call, &["python3", &app("waits.py"), call]).await;
        }
    }
    is_seen("epoll", &[&built("listenfd_axum")]).await;
}

#[tokio::test]
async fn by_an_io_uring() {
    if needs::program("python3") && may_have_a_ring().await {
        is_seen("io_uring", &["python3", &app("uring.py")]).await;
    }
}

async fn may_have_a_ring() -> bool {
    let check = Command::new("python3").args([&app("uring.py"), "--check"]).output().await.expect("it starts");
    if !check.status.success() {
        needs::skip(String::from_utf8_lossy(&check.stderr).trim());
    }
    check.status.success()
}

/// Options with which `waits.py` goes on as another user.
const AS_ANOTHER: [&str; 2] = ["-e", "USER_ID=65534"];

fn may_change_user() -> bool {
    needs::root("start processes of another user") && needs::program("python3")
}

#[tokio::test]
async fn by_a_process_of_another_user_that_we_may_look_at() {
    if may_change_user() {
        for call in ["select", "epoll"] {
            is_seen_with(&AS_ANOTHER, call, &["python3", &app("waits.py"), call]).await;
        }
    }
}

#[tokio::test]
async fn one_that_we_may_not_look_at_ends_its_start_with_the_reason_and_the_rules() {
    if !may_change_user() || !needs::program("setpriv") {
        return;
    }
    within(30, async {
        let app = app("waits.py");
        let program = [&AS_ANOTHER[..], &["--bind", "127.0.0.1:0", "--", "python3", &app, "select"]].concat();
        let mut running = without_ptrace(&[&["-n", "2"], &program[..]].concat());
        let why = running.logged("so it cannot be seen").await;
        assert!(why.contains("runs as user 65534, and user 0 may not look at it without CAP_SYS_PTRACE"), "{why}");
        for rule in ["--ready=notify", "--ready-http PATH", "--ready=age"] {
            assert!(why.contains(rule), "{why}");
        }
        assert_eq!(running.exit().await, Some(1));

        let mut running = without_ptrace(&[&["-n", "1", "--ready=age", "--ready-after=50ms"], &program[..]].concat());
        running.ready(1).await;
        running.stop().await;
    })
    .await;
}

/// `multi-node run` as one that may not look at processes of others.
fn without_ptrace(args: &[&str]) -> Running {
    let run = run(args);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_ptrace", "--"]).arg(run.as_std().get_program()).args(run.as_std().get_args());
    command.stdout(Stdio::null()).stdin(Stdio::null()).env_remove("CARGO_MANIFEST_DIR").kill_on_drop(true);
    Running::of(command)
}

#[tokio::test]
async fn a_release_that_stops_waiting_fails_its_reload() {
    if !needs::program("python3") {
        return;
    }
    within(30, async {
        let folder = tempfile::tempdir().expect("a folder");
        let (close, app) = (folder.path().join("close"), app("waits.py"));
        let env = format!("CLOSE={}", close.display());
        let program = ["--", "python3", &app, "select"];
        let mut running = Running::start(
            &[&["-n", "1", "--bind", "127.0.0.1:0", "--settle", "10s", "-e", &env][..], &program].concat(),
        );
        running.ready(1).await;
        running.command(&["reload"]).await;
        running.ready(1).await;
        std::fs::write(&close, "").expect("a file of ours");
        let lost = running.logged("was ready, and is no more").await;
        assert!(lost.contains("none of its processes waits for connections on 127.0.0.1:"), "{lost}");
        running.stop().await;
    })
    .await;
}
