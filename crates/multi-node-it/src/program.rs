//! The fixture program, run as a user would run a server.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use multi_node::{State, Status};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::plan::{Plan, VARIABLE};
use crate::{Answer, client, procfs};

/// How often a fact that cannot be awaited is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Fails the test when `work` takes longer than `seconds`: the outer limit that every test has.
pub async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), work).await {
        Ok(value) => value,
        Err(_) => panic!("not done within {seconds} s"),
    }
}

/// A running fixture program. Dropped, its master is killed, and its nodes end by themselves.
pub struct Program {
    master: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    pub pid: u32,
    /// The main server's address.
    pub addr: SocketAddr,
    /// All addresses, as the program prints them.
    pub addrs: Vec<String>,
    folder: TempDir,
}

impl Program {
    /// Starts the program and waits until its master is listening.
    pub async fn start(plan: Plan) -> Program {
        Program::run(&fixture(), plan, |_| {}).await
    }

    /// Starts the program and waits until every slot serves.
    pub async fn serving(plan: Plan) -> Program {
        let mut program = Program::start(plan).await;
        program.order("ready").await;
        program
    }

    /// Starts the program at this path, with a command that `change` may change.
    pub async fn run(path: &Path, plan: Plan, change: impl FnOnce(&mut Command)) -> Program {
        let mut program = Program::launch(path, plan, change);
        let first =
            program.answers.next_line().await.expect("readable output").expect("the master says where it listens");
        program.addrs =
            first.strip_prefix("listening on ").expect("the first line").split(' ').map(str::to_owned).collect();
        program.addr = program.addrs[0].parse().expect("a TCP address");
        program
    }

    /// Starts the program without waiting for anything.
    pub fn launch(path: &Path, plan: Plan, change: impl FnOnce(&mut Command)) -> Program {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan {
            faults: if plan.faults.as_os_str().is_empty() { folder.path().into() } else { plan.faults },
            ..plan
        };
        let mut command = Command::new(path);
        command
            .env(VARIABLE, serde_json::to_string(&plan).expect("a plan is JSON"))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a file of ours"))
            .kill_on_drop(true);
        change(&mut command);
        let mut master = command.spawn().expect("the fixture starts");
        let orders = master.stdin.take().expect("piped");
        let answers = BufReader::new(master.stdout.take().expect("piped")).lines();
        let pid = master.id().expect("running");
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Program { master, orders, answers, pid, addr, addrs: Vec::new(), folder }
    }

    /// The folder in which faults are laid.
    pub fn faults(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What master and nodes have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a file of ours")
    }

    /// Waits until the log has the text.
    pub async fn logged(&self, text: &str) {
        self.until(|| self.log().contains(text)).await;
    }

    /// Gives the master an order, and waits for its answer: `status`, `ready`, `reload`, `scale N`, `shutdown`, `drop`,
    /// `peers`.
    pub async fn order(&mut self, order: &str) -> Value {
        self.send(order).await;
        self.answer().await
    }

    /// Gives the master an order.
    pub async fn send(&mut self, order: &str) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("the master reads orders");
    }

    /// Waits for the answer to the oldest order not answered yet.
    pub async fn answer(&mut self) -> Value {
        let line = self.answers.next_line().await.expect("readable output").expect("the master answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no answer: {error}"))
    }

    pub async fn status(&mut self) -> Status {
        serde_json::from_value(self.order("status").await).expect("a status")
    }

    /// Waits until the status is as wanted.
    pub async fn status_where(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        loop {
            let status = self.status().await;
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every slot serves and none is being replaced.
    pub async fn at_rest(&mut self) -> Status {
        self.status_where(|s| {
            s.is_ready() && s.slots.len() == s.wanted && s.slots.iter().all(|slot| slot.state == State::Serving)
        })
        .await
    }

    /// The pids of the nodes that serve, by slot.
    pub async fn pids(&mut self) -> Vec<u32> {
        let status = self.at_rest().await;
        status.slots.iter().filter_map(|slot| slot.pid).collect()
    }

    /// One request on a connection of its own.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        client::get(self.addr, path).await
    }

    /// Sends requests on connections of their own until `nodes` different nodes have answered.
    pub async fn answering(&self, nodes: usize) -> BTreeMap<String, u32> {
        let mut seen = BTreeMap::new();
        while seen.len() < nodes {
            let answer = self.get("/").await.expect("an answer");
            seen.insert(answer.id(), answer.pid());
        }
        seen
    }

    /// Waits for a fact that cannot be awaited.
    pub async fn until(&self, fact: impl Fn() -> bool) {
        while !fact() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until all these processes are gone.
    pub async fn gone(&self, pids: impl IntoIterator<Item = u32>) {
        let pids: BTreeSet<u32> = pids.into_iter().collect();
        self.until(|| pids.iter().all(|pid| procfs::state(*pid).is_none())).await;
    }

    /// Sends the master a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid, signal);
    }

    /// Waits for the master's end, and tells its exit code; `None`: a signal ended it.
    pub async fn exit(&mut self) -> Option<i32> {
        self.master.wait().await.expect("it is our child").code()
    }

    /// Ends the program in the ordinary way, and checks that it succeeds and leaves nobody behind.
    pub async fn stop(mut self) {
        let nodes = procfs::children(self.pid);
        self.signal(Signal::TERM);
        assert_eq!(self.exit().await, Some(0), "{}", self.log());
        self.gone(nodes).await;
    }
}

/// The fixture program, which cargo builds beside the tests.
pub fn fixture() -> PathBuf {
    let test = std::env::current_exe().expect("a test program");
    let folder = test.ancestors().nth(2).expect("target/debug/deps/it-0123");
    folder.join("fixture")
}

/// Sends a process a signal.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("the process is ours and alive");
}
