//! The ends that somebody asked for: of the program, and of one node.

use std::fs::File;
use std::time::{Duration, Instant};

use multi_node_it::program::fixture;
use multi_node_it::{Client, Plan, Program, procfs, send, send_with_group, within};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

/// Ends the program by a signal that lets what is in flight be answered.
async fn ends_gracefully(signal: Signal) {
    let mut program = Program::serving(Plan::nodes(2)).await;
    let mut client = program.begin("/sleep/300").await;
    program.signal(signal);
    assert_eq!(client.answer().await.expect("an answer").body, "slept 300\n");
    program.ends_well().await;
    program.get("/").await.expect_err("nobody listens any more");
    let log = program.log();
    assert!(log.contains("received the signal to shut down"));
    assert_eq!(log.matches(", drained in ").count(), 2);
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "an ordinary end is nothing to warn of");
}

#[tokio::test]
async fn sigterm_and_sigint_let_requests_finish() {
    within(30, async {
        ends_gracefully(Signal::TERM).await;
        ends_gracefully(Signal::INT).await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_still_starting_ends_at_once() {
    within(30, async {
        let mut program = Program::start(Plan::nodes(2)).await;
        program.signal(Signal::TERM);
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn during_the_delay_connections_are_accepted() {
    within(30, async {
        let shutdown_delay = Duration::from_secs(2);
        let mut program = Program::serving(Plan { shutdown_delay, ..Plan::nodes(2) }).await;
        let begun = Instant::now();
        program.signal(Signal::TERM);
        program.logged("2 nodes go on accepting for 2 s and then drain").await;
        program.answering(2).await;
        program.ends_well().await;
        assert!(begun.elapsed() >= shutdown_delay, "it took {:?}", begun.elapsed());
    })
    .await;
}

/// Sends the signal time and again until all is killed; how long that took.
async fn signals_until_all_are_killed(program: &Program, signal: Signal) -> Duration {
    let begun = Instant::now();
    while !program.log().contains("shuts down at once") {
        program.signal(signal);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_second_sigterm_a_second_later_ends_all_at_once() {
    within(30, async {
        for (second, earliest) in [(Signal::TERM, 900), (Signal::INT, 900), (Signal::QUIT, 0)] {
            let mut program = Program::serving(Plan { drain_timeout: Duration::from_secs(60), ..Plan::nodes(2) }).await;
            let mut client = program.begin("/sleep/60000").await;
            program.signal(Signal::TERM);
            program.logged("received the signal to shut down").await;
            let took = signals_until_all_are_killed(&program, second).await;
            program.ends_well().await;
            client.answer().await.expect_err("its node was killed");
            assert!(took >= Duration::from_millis(earliest), "{second:?} within {took:?} of the first is the same");
        }
    })
    .await;
}

#[tokio::test]
async fn a_signal_to_the_process_and_its_group_is_one_graceful_shutdown() {
    within(60, async {
        for signal in [Signal::TERM, Signal::INT].repeat(5) {
            let mut program = Program::run(&fixture(), Plan::nodes(2), |command| {
                command.process_group(0);
            })
            .await;
            program.command("ready").await;
            let mut client = program.begin("/sleep/300").await;
            send_with_group(program.pid, signal);
            assert_eq!(client.answer().await.expect("an answer").body, "slept 300\n");
            program.ends_well().await;
            assert_eq!(program.log().matches("received the signal to shut down").count(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn sigquit_ends_all_at_once() {
    within(30, async {
        let plan =
            Plan { shutdown_delay: Duration::from_secs(60), drain_timeout: Duration::from_secs(60), ..Plan::nodes(2) };
        let mut program = Program::serving(plan).await;
        let mut client = program.begin("/sleep/60000").await;
        program.signal(Signal::QUIT);
        program.ends_well().await;
        client.answer().await.expect_err("its node was killed");
    })
    .await;
}

#[tokio::test]
async fn a_closed_terminal_ends_the_program() {
    within(30, async {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("a terminal has a name");
        let theirs = File::open(name.to_str().expect("/dev/pts/7")).expect("a terminal");
        let mut program = Program::run(&fixture(), Plan::nodes(2), |command| {
            command.stdin(theirs);
        })
        .await;
        program.answering(2).await;
        program.signal(Signal::HUP);
        program.ends_well().await;
        assert!(program.log().contains("received the end of the terminal"));
    })
    .await;
}

#[tokio::test]
async fn a_terminal_s_ctrl_c_does_not_reach_the_nodes() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        for pid in program.pids().await {
            assert_eq!(procfs::group(pid), Some(pid), "a node leads a process group of its own");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn sigterm_to_a_node_drains_and_replaces_it() {
    within(30, async {
        for signal in [Signal::TERM, Signal::INT] {
            let mut program = Program::serving(Plan::nodes(1)).await;
            let before = program.at_rest().await;
            let mut client = program.begin("/sleep/300").await;
            send(before.slots[0].pid.expect("it serves"), signal);
            assert_eq!(client.answer().await.expect("an answer").body, "slept 300\n");
            let after = program.status_where(|s| s.slots[0].id != before.slots[0].id && s.is_ready()).await;
            assert_eq!(after.slots[0].restarts, 0, "a node that was asked to leave has not died");
            program.logged("leaves by itself, and drains; starting again in 50 ms").await;
            program.logged("ended with exit code 0, drained in ").await;
            program.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn sighup_to_a_node_does_nothing() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let pids = program.pids().await;
        send(pids[0], Signal::HUP);
        // A signal that came later is acted on, so this one has been dealt with.
        send(pids[0], Signal::TERM);
        program.logged("ended with exit code 0, drained in ").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_main_that_never_ends_is_killed_at_the_deadline() {
    within(30, async {
        let drain_timeout = Duration::from_millis(300);
        let mut program = Program::serving(Plan { drain_timeout, endless_main: true, ..Plan::nodes(2) }).await;
        let begun = Instant::now();
        program.signal(Signal::TERM);
        program.ends_well().await;
        assert!(begun.elapsed() >= drain_timeout, "killed after {:?}", begun.elapsed());
        let log = program.log();
        assert_eq!(log.matches("killing it: it had not drained within 300 ms").count(), 2);
        assert_eq!(log.matches("ended by SIGKILL before it had drained").count(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_hangs_ends_with_the_deadline() {
    within(30, async {
        // The node itself cuts its connections, in time to end in an orderly way. A blocked node can only be killed.
        for (path, earliest) in [("/sleep/60000", 225), ("/block/60000", 300)] {
            let drain_timeout = Duration::from_millis(300);
            let mut program = Program::serving(Plan { drain_timeout, ..Plan::nodes(1) }).await;
            let mut client = program.begin(path).await;
            let begun = Instant::now();
            program.signal(Signal::TERM);
            program.ends_well().await;
            client.answer().await.expect_err("its time was over");
            assert!(begun.elapsed() >= Duration::from_millis(earliest), "{path} was cut after {:?}", begun.elapsed());
        }
    })
    .await;
}

#[tokio::test]
async fn nodes_dropped_in_the_master_end_the_program() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let mut client = program.begin("/sleep/300").await;
        assert_eq!(program.command("drop").await, json!(null), "the drop itself does not wait");
        assert_eq!(client.answer().await.expect("an answer").body, "slept 300\n");
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_dropped_in_a_node_drain_and_replace_it() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let before = program.at_rest().await;
        let mut client = program.begin("/sleep/300").await;
        program.get("/drop").await.expect("an answer");
        assert_eq!(client.answer().await.expect("an answer").body, "slept 300\n");
        let after = program.status_where(|s| s.slots[0].id != before.slots[0].id && s.is_ready()).await;
        assert_eq!(after.slots[0].restarts, 0, "a node that left has not died");
        program.at_rest().await;
        assert!(program.log().contains("ended with exit code 0, drained in "));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn clients_that_go_on_sending_get_their_answer_and_no_reset() {
    // A body that nobody reads, and a request behind the last that is answered.
    let body = format!("GET /sleep/300 HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n{}", "x".repeat(100_000));
    let pipelined = "GET /sleep/300 HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned();
    within(10, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let mut clients = Vec::new();
        for request in [body, pipelined] {
            let mut client = Client::connect(program.addr).await.expect("a connection");
            client.send(&request).await.expect("sent");
            clients.push(client);
        }
        program.status_where(|s| s.slots[0].in_flight == 2).await;
        program.signal(Signal::TERM);
        for mut client in clients {
            let answer = client.answer().await.expect("an answer");
            assert_eq!(answer.body, "slept 300\n");
            assert!(answer.headers.contains("connection: close"), "{}", answer.headers);
            client.send("more").await.expect("nothing says that it is too late");
            assert_eq!(client.rest().await.expect("an end in order"), "");
        }
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn closed_comes_after_the_last_answer() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let mut client = program.begin("/sleep/300").await;
        let closed = program.send("closed").await;
        let shutdown = program.send("shutdown").await;
        assert_eq!(client.answer().await.expect("an answer").body, "slept 300\n");
        assert_eq!(program.answer(shutdown).await, json!({ "Ok": null }));
        assert_eq!(program.answer(closed).await, json!({ "Ok": null }));
        program.ends_well().await;
    })
    .await;
}
