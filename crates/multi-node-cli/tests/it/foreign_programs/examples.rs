//! The examples of other languages, each started in its folder as its file of settings says.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use multi_node_it::{client, needs, within};
use serde_json::Value;

use crate::command::{Running, pids, run};
use crate::load::Load;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The variables by which Python finds what was fetched: its modules, and its commands.
fn python() -> Option<Vec<(&'static str, String)>> {
    let servers = needs::server("python").filter(|_| needs::program("python3"))?;
    let frameworks = needs::server("frameworks")?;
    let path = std::env::var("PATH").unwrap_or_default();
    Some(vec![("PYTHONPATH", format!("{servers}:{frameworks}")), ("PATH", format!("{servers}/bin:{path}"))])
}

/// Starts an example on a port of its own, by the settings in its folder.
async fn start(folder: &Path, variables: &[(&str, String)], more: &[&str], nodes: usize) -> (Running, SocketAddr) {
    let mut command = run(&[&["--port", "0"], more].concat());
    command.current_dir(folder).stdout(Stdio::null()).envs(variables.iter().map(|(name, value)| (name, value)));
    let mut running = Running::of(command);
    let addr = running.addr().await;
    running.ready(nodes).await;
    (running, addr)
}

/// It answers from several processes, and is reloaded under load by the command that the example names. What may be lost is what the
/// server itself closes.
async fn is_deployed(name: &str, variables: &[(&str, String)], nodes: usize, may_close: bool) {
    within(90, async {
        let (running, addr) = start(&examples().join(name), variables, &["--settle", "0s"], nodes).await;
        let before = pids(addr, nodes).await;
        let load = Load::under_way(addr).await;
        let report = running.command(&["reload", "--wait"]).await;
        let (answered, lost) = load.stop().await;
        println!("{name}: {answered} answered, lost: {lost:?}");
        assert!(report.status.success(), "{name}: {report:?}");
        assert!(
            if may_close { lost.iter().all(|error| error != "connect") } else { lost.is_empty() },
            "{name}: {lost:?}"
        );
        let after = pids(addr, nodes).await;
        assert!(before.iter().all(|pid| !after.contains(pid)), "{name}: {before:?} {after:?}");
        assert_eq!(running.stop().await, Some(0), "{name}");
    })
    .await;
}

#[tokio::test]
async fn fastapi() {
    let Some(variables) = python() else { return };
    is_deployed("fastapi", &variables, 4, true).await;
}

#[tokio::test]
async fn django() {
    let Some(variables) = python() else { return };
    is_deployed("django", &variables, 2, false).await;
}

#[tokio::test]
async fn rack() {
    let Some(with) = needs::server("puma/with") else { return };
    let Some(puma) = needs::server("puma/usr/bin/puma") else { return };
    // As a system has it on which Ruby is installed.
    let folder = tempfile::tempdir().expect("a folder");
    let command = folder.path().join("puma");
    std::fs::write(&command, format!("#!/bin/sh\nexec {with} ruby {puma} \"$@\"\n")).expect("written");
    std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let path = std::env::var("PATH").unwrap_or_default();
    let variables = [("PATH", format!("{}:{path}", folder.path().display()))];
    is_deployed("rack", &variables, 4, true).await;
}

/// The layout of docs/pools.md for Python: two nodes of four workers, which share what `--preload` has loaded.
const PRELOADED: [&str; 7] = ["--settle", "2s", "--", "gunicorn", "--preload", "-w", "4"];

#[tokio::test]
async fn a_release_that_ends_while_it_settles_is_refused_where_workers_share_their_memory() {
    let Some(mut variables) = python() else { return };
    within(90, async {
        let folder = tempfile::tempdir().expect("a folder");
        let project = folder.path().join("app.py");
        std::fs::copy(examples().join("django/app.py"), &project).expect("a copy");
        std::fs::write(folder.path().join("multi-node.toml"), "nodes = 2\n").expect("settings");
        variables[0].1 += &format!(":{}", folder.path().display());
        let args = [&PRELOADED[..], &["app:application"]].concat();
        let (running, addr) = start(folder.path(), &variables, &args, 2).await;
        let before = pids(addr, 8).await;
        let status: Value = serde_json::from_slice(&running.command(&["status", "--json"]).await.stdout).expect("JSON");
        assert_eq!(status["slots"].as_array().map(Vec::len), Some(2), "eight workers are two nodes: {status}");

        // It serves for half a second, so it is ready; then its main process ends.
        let good = std::fs::read_to_string(&project).expect("text");
        let bad = format!("{good}\nimport threading\nthreading.Timer(0.5, os._exit, [3]).start()\n");
        std::fs::write(&project, bad).expect("written");
        let load = Load::under_way(addr).await;
        let report = running.command(&["reload", "--wait"]).await;
        let (answered, lost) = load.stop().await;
        let said = String::from_utf8_lossy(&report.stderr).into_owned();
        println!("{answered} answered, lost: {lost:?}; {said}");
        assert!(report.status.code() == Some(1) && said.contains("2 of 2 old nodes serve"), "{report:?}");
        // Workers of the new release that have lost their main process may answer until they are killed.
        while pids(addr, 8).await != before {}
        assert!(client::get(addr, "/").await.expect("an answer").body.starts_with("hello from "));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
