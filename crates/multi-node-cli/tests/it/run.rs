//! `multi-node run`

use std::process::Stdio;

use multi_node_it::{needs, procfs, send, within};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::command::{self, Running, built, output, pids};

#[tokio::test]
async fn a_program_that_takes_its_socket_from_systemd_is_served_by_several_nodes() {
    within(30, async {
        let mut running = Running::start(&["-n", "2", "--bind", "127.0.0.1:0", "--", &built("listenfd_axum")]);
        let addr = running.addr().await;
        running.ready(2).await;
        let old = pids(addr, 2).await;

        running.signal(Signal::HUP);
        running.logged("reload done").await;
        let new = pids(addr, 2).await;
        assert!(old.iter().all(|pid| !new.contains(pid)), "a reload replaces every node");

        send(new[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        assert!(pids(addr, 2).await.contains(&new[1]), "one node's end is its own");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn sockets_block_and_send_small_writes_at_once_and_wait_for_a_byte_if_that_is_wanted() {
    if !needs::program("python3") {
        return;
    }
    const SCRIPT: &str = "import os, socket; s = socket.socket(fileno=3); get = lambda o: s.getsockopt(socket.IPPROTO_TCP, o); \
        print(os.get_blocking(3), get(socket.TCP_NODELAY), get(socket.TCP_DEFER_ACCEPT), flush=True); s.accept()";
    for (options, expected) in [(&[][..], "True 1 0"), (&["--defer-accept"], "True 1 1")] {
        within(30, async {
            let program = ["-n", "1", "--bind", "127.0.0.1:0", "--", "python3", "-c", SCRIPT];
            let mut command = command::run(&[options, &program].concat());
            command.stdout(Stdio::piped());
            let mut running = Running::of(command);
            let line = BufReader::new(running.stdout()).lines().next_line().await.expect("readable");
            assert_eq!(line.as_deref(), Some(expected));
            assert_eq!(running.stop().await, Some(0));
        })
        .await;
    }
}

#[tokio::test]
async fn a_program_that_never_links_the_library_has_its_sockets_and_nothing_of_the_master_s() {
    if !needs::program("python3") {
        return;
    }
    const SCRIPT: &str = "import os, socket; s = socket.socket(fileno=3)\n\
        link = lambda fd: os.path.exists('/proc/self/fd/' + fd) and os.readlink('/proc/self/fd/' + fd); fds = [int(fd) \
        for fd in os.listdir('/proc/self/fd') if str(link(fd)).startswith('socket:')]\n\
        own = os.environ.get; print(fds, own('MULTI_NODE_PARENT'), own('LISTEN_PID') == str(os.getpid()), own('WATCHDOG_USEC'), \
        own('NOTIFY_SOCKET').startswith('@multi-node/'), flush=True); s.accept()";
    within(30, async {
        let mut command = command::run(&["-n", "1", "--bind", "127.0.0.1:0", "--", "python3", "-c", SCRIPT]);
        command.stdout(Stdio::piped()).env("NOTIFY_SOCKET", "/run/nobody").env("WATCHDOG_USEC", "60000000");
        let mut running = Running::of(command);
        let line = BufReader::new(running.stdout()).lines().next_line().await.expect("readable");
        assert_eq!(line.as_deref(), Some("[3] None True None True"));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_crash_starts_what_was_found_and_a_reload_what_is_there_now() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a folder");
        let server = folder.path().join("server");
        let deploy = |program: &str| {
            let next = folder.path().join("next");
            std::fs::copy(program, &next).expect("a file of ours");
            std::fs::rename(&next, &server).expect("a file of ours");
        };
        deploy(&built("listenfd_axum"));
        let path = server.to_str().expect("UTF-8");
        let mut running = Running::start(&["-n", "1", "--bind", "127.0.0.1:0", "--", path]);
        let addr = running.addr().await;
        running.ready(1).await;
        let node = pids(addr, 1).await[0];
        assert_eq!(procfs::name(node).as_deref(), Some("server"));

        deploy("/bin/false");
        send(node, Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        pids(addr, 1).await;
        running.signal(Signal::HUP);
        running.logged("ended with exit code 1").await;
        running.logged("reload failed").await;
        pids(addr, 1).await;

        deploy(&built("listenfd_axum"));
        running.signal(Signal::HUP);
        running.logged("reload done").await;
        assert_eq!(procfs::name(pids(addr, 1).await[0]).as_deref(), Some("server"));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn no_node_outlives_a_killed_master() {
    within(30, async {
        let mut running = Running::start(&["-n", "2", "--", "sleep", "1000"]);
        running.ready(2).await;
        let nodes = procfs::children(running.pid());
        assert_eq!(nodes.len(), 2);
        running.signal(Signal::KILL);
        running.exit().await;
        while nodes.iter().any(|pid| procfs::is_alive(*pid)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn help_completions_and_manual_name_every_option() {
    for args in [
        &["run", "--help-all"][..],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man", "run"],
    ] {
        let output = output(args).await;
        assert!(output.status.success(), "{args:?}");
        let text = String::from_utf8_lossy(&output.stdout).replace("\\-", "-");
        assert!(text.contains("stop-signal"), "{args:?}: {text}");
        assert!(!text.contains("__exec-shim"), "{args:?} shows what is not for users");
    }
}

#[tokio::test]
async fn help_shows_what_most_people_set_and_all_of_it_on_demand() {
    // What is indented more goes on with a sentence.
    let is_option = |line: &str| line.find('-').is_some_and(|at| at <= 6 && line[..at].trim().is_empty());
    let options = async |arg| {
        let output = output(&["run", arg]).await;
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().filter(|line| is_option(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (short, long, all) = (options("-h").await, options("--help").await, options("--help-all").await);
    assert_eq!(short.len(), long.len());
    assert!(short.len() <= 15 && all.len() > 40, "{} of {}: {short:?}", short.len(), all.len());
    assert!(short.iter().any(|line| line.contains("--help-all")), "{short:?}");
}
