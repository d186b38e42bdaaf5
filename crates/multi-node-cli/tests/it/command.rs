//! `multi-node`, as a user types it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use multi_node_it::{Answer, client, send};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinSet;

/// The command with these arguments, in an environment that says nothing of the test's own.
pub(crate) fn multi_node(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_multi-node"));
    command.args(args).stdin(Stdio::null()).env_remove("CARGO_MANIFEST_DIR").kill_on_drop(true);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// `multi-node run` with these arguments, under a name that no other test has.
pub(crate) fn run(args: &[&str]) -> Command {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    multi_node(&[&["run", "--name", &name], args].concat())
}

/// `multi-node run` with these arguments, from a shell that has limited itself so (ulimit in sh(1)).
pub(crate) fn limited(ulimit: &str, args: &[&str]) -> Command {
    let command = run(args);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{ulimit} && exec \"$0\" \"$@\"")).arg(command.as_std().get_program());
    shell.args(command.as_std().get_args()).env_remove("CARGO_MANIFEST_DIR");
    shell.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    shell
}

/// Runs a command to its end.
pub(crate) async fn output(args: &[&str]) -> Output {
    multi_node(args).output().await.expect("the command starts")
}

/// What a command prints that succeeds, with `--json`.
pub(crate) async fn json_of(args: &[&str]) -> Value {
    let output = output(&[args, &["--json"]].concat()).await;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{error}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{out:?} is no JSON: {error}"))
}

/// A program of `multi-node-it`, which cargo builds beside the tests.
pub(crate) fn built(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_multi-node")).with_file_name(name);
    assert!(path.exists(), "{} is not built: cargo build -p multi-node-it --bins", path.display());
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A program's file beside the tests.
pub(crate) fn app(name: &str) -> String {
    format!("{}/tests/apps/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// `multi-node run` under way, known by its log.
pub(crate) struct Running {
    /// By which other commands find it.
    pub(crate) name: String,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// What was logged so far.
    pub(crate) seen: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the command's log\n{}\n---", self.seen.join("\n"));
        }
    }
}

impl Running {
    /// Starts `multi-node run` with these arguments.
    pub(crate) fn start(args: &[&str]) -> Running {
        let mut command = run(args);
        command.stdout(Stdio::null());
        Running::of(command)
    }

    /// The same, once this number of nodes is ready, and its first address.
    pub(crate) async fn serving(args: &[&str], nodes: usize) -> (Running, SocketAddr) {
        let mut running = Running::start(args);
        let addr = running.addr().await;
        running.ready(nodes).await;
        (running, addr)
    }

    /// Starts a command that says `--name`.
    pub(crate) fn of(mut command: Command) -> Running {
        let mut args = command.as_std().get_args().map(|arg| arg.to_string_lossy().into_owned());
        let name = args.by_ref().skip_while(|arg| arg != "--name").nth(1).expect("a name");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the command starts");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        Running { name, child, log, seen: Vec::new() }
    }

    /// What a command says that is meant for it.
    pub(crate) async fn command(&self, args: &[&str]) -> Output {
        output(&[args, &["--name", &self.name]].concat()).await
    }

    /// The next line of the log that contains this.
    pub(crate) async fn logged(&mut self, wanted: &str) -> String {
        loop {
            let line = self.log.next_line().await.expect("a readable log");
            let line = line.unwrap_or_else(|| panic!("the command ended without {wanted:?}"));
            self.seen.push(line.clone());
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// Where it listens.
    pub(crate) async fn addr(&mut self) -> SocketAddr {
        let line = self.logged("listening on ").await;
        let addr: SocketAddr =
            line.split("listening on ").nth(1).and_then(|addr| addr.parse().ok()).expect("an address");
        SocketAddr::new("127.0.0.1".parse().expect("an address"), addr.port())
    }

    /// Waits until this number of nodes has become ready since the last call.
    pub(crate) async fn ready(&mut self, nodes: usize) {
        for _ in 0..nodes {
            self.logged("ready after").await;
        }
    }

    /// What it writes to its standard output, where that is a pipe.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("piped, and not taken yet")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for yet")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Ends it as a user would; the exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.exit().await
    }

    /// Waits for its end; the exit code.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        while let Some(line) = self.log.next_line().await.expect("a readable log") {
            self.seen.push(line);
        }
        self.child.wait().await.expect("it is our child").code()
    }
}

/// Sends requests, several at a time, on connections of their own until `nodes` processes have answered with their pid as
/// the last word. One at a time may all go to the process that was the last to wait for one.
pub(crate) async fn pids(addr: SocketAddr, nodes: usize) -> Vec<u32> {
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < nodes {
        let some: JoinSet<_> = (0..8).map(|_| client::get(addr, "/")).collect();
        for answer in some.join_all().await {
            let answer: Answer = answer.expect("an answer");
            let pid = answer.body.split_whitespace().last().and_then(|pid| pid.parse().ok());
            seen.insert(pid.unwrap_or_else(|| panic!("{:?} has no pid", answer.body)));
        }
    }
    seen.into_iter().collect()
}
