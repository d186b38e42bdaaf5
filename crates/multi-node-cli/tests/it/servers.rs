//! Servers that don't use the library: each answers from two processes, is reloaded under load, and loses a node.

use multi_node_it::{needs, procfs, send, within};
use rustix::process::Signal;

use crate::command::{Running, app, built, pids};
use crate::load::{Load, Wrk};

/// What a server does on SIGTERM with the requests that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTerm {
    Finishes,
    /// It closes connections that it has accepted and not read from yet.
    ClosesUnread,
    /// It ends with them.
    LosesThem,
}

impl OnTerm {
    /// What no one but the master could do to clients is that they are refused.
    fn allows(self, errors: &[String]) -> bool {
        match self {
            OnTerm::Finishes => errors.is_empty(),
            OnTerm::ClosesUnread | OnTerm::LosesThem => errors.iter().all(|error| error != "connect"),
        }
    }
}

/// Starts it with two nodes, reloads it under load, kills a node under load. Each answer's last word is the pid.
pub(crate) async fn serves(name: &str, on_term: OnTerm, args: &[&str]) {
    let wrk = needs::fetched("wrk/with");
    within(60, async {
        let mut running =
            Running::start(&[&["-n", "2", "--bind", "127.0.0.1:0", "--drain-timeout", "5s"], args].concat());
        let addr = running.addr().await;
        running.ready(2).await;
        pids(addr, 2).await;

        let wrk = wrk.map(|with| Wrk::start(&with, addr));
        let load = Load::under_way(addr).await;
        let report = running.command(&["reload", "--wait"]).await;
        let (answered, errors) = load.stop().await;
        println!("{name}: reload: {} errors in {answered} requests {errors:?}", errors.len());
        if let Some(wrk) = wrk {
            println!("{name}: reload: wrk on 4 connections that are kept: {}", wrk.stop().await);
        }
        let text = String::from_utf8_lossy(&report.stdout);
        assert!(report.status.success() && text.starts_with("generation 1 serves in 2 slots"), "{name}: {report:?}");
        assert!(on_term.allows(&errors), "{name}: {errors:?}");

        let load = Load::under_way(addr).await;
        running.logged("reload done").await;
        send(procfs::children(running.pid())[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        pids(addr, 2).await;
        let (answered, errors) = load.stop().await;
        println!("{name}: kill -9: {} errors in {answered} requests {errors:?}", errors.len());
        assert!(OnTerm::LosesThem.allows(&errors), "{name}: {errors:?}");
        assert_eq!(running.stop().await, Some(0), "{name}");
    })
    .await;
}

#[tokio::test]
async fn axum_with_listenfd() {
    serves("axum with listenfd", OnTerm::ClosesUnread, &["--", &built("listenfd_axum")]).await;
}

#[tokio::test]
async fn a_shell_script_that_writes_to_its_notification_descriptor() {
    if needs::program("python3") {
        let program = ["--ready", "notify", "--ready-fd", "4", "--", "bash", &app("serve.sh"), "echo >&4"];
        serves("shell script with --ready-fd", OnTerm::Finishes, &program).await;
    }
}

#[tokio::test]
async fn a_shell_script_that_calls_systemd_notify() {
    if needs::program("python3") && needs::program("systemd-notify") {
        let program = ["--ready", "notify", "--", "bash", &app("serve.sh"), "systemd-notify --ready --status=serving"];
        serves("shell script with systemd-notify", OnTerm::Finishes, &program).await;
    }
}

#[tokio::test]
async fn node_on_a_given_descriptor() {
    if needs::program("node") {
        let script = "require('http').createServer((q, s) => s.end('node ' + process.pid)).listen({ fd: 3 })";
        serves("node listen({fd: 3})", OnTerm::LosesThem, &["--", "node", "-e", script]).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program() {
    if needs::program("node") {
        serves("node", OnTerm::Finishes, &["--", "node", &app("server.js")]).await;
    }
}
