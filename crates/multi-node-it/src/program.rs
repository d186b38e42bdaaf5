//! The fixture program, run as a user would run a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use multi_node::Status;
use multi_node::status::State;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::plan::{Plan, VARIABLE};
use crate::{Answer, Client, client, procfs};

/// How often a fact that cannot be awaited is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Fails the test when `work` takes longer than `seconds`: the outer limit that every test has.
pub async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    // It outlives the panic, so that a program in it sees that the test has failed, and shows its log.
    let mut work = std::pin::pin!(work);
    match tokio::time::timeout(Duration::from_secs(seconds), work.as_mut()).await {
        Ok(value) => value,
        Err(_) => panic!("not done within {seconds} s"),
    }
}

/// What the environment sets for a test; `None`: nothing.
///
/// # Panics
/// Where it cannot be read.
pub fn from_env<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// Which command an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "a command is answered only to who asks by its ticket"]
pub struct Ticket(u64);

/// A running fixture program. On drop its master is killed, and its nodes then end. If the test fails, its log is shown.
pub struct Program {
    master: Child,
    /// `None` where the test has given the program another standard input.
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    tickets: u64,
    /// Answers that came while another was waited for.
    early: BTreeMap<Ticket, Value>,
    pub pid: u32,
    /// The main server's address.
    pub addr: SocketAddr,
    /// All addresses, as the program prints them.
    pub addrs: Vec<String>,
    folder: TempDir,
    plan: Plan,
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the program's log\n{}---", self.log());
        }
    }
}

impl Program {
    /// Starts the program and waits until its master is listening.
    pub async fn start(plan: Plan) -> Program {
        Program::run(&fixture(), plan, |_| {}).await
    }

    /// Starts the program and waits until every slot serves.
    pub async fn serving(plan: Plan) -> Program {
        let mut program = Program::start(plan).await;
        program.command("ready").await;
        program
    }

    /// Starts the program at this path, with a command that `change` may change.
    pub async fn run(path: &Path, plan: Plan, change: impl FnOnce(&mut Command)) -> Program {
        let mut program = Program::launch(path, plan, change);
        program.listens().await;
        program
    }

    /// Waits until the master of a launched program is listening.
    pub async fn listens(&mut self) {
        let first = self.answers.next_line().await.expect("readable output").expect("the master says where it listens");
        let addrs = first.strip_prefix("listening on ").expect("the first line");
        self.addrs = addrs.split(' ').map(str::to_owned).collect();
        self.addr = self.addrs[0].parse().expect("a TCP address");
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
            .env(VARIABLE, to_json(&plan))
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .env("XDG_RUNTIME_DIR", folder.path())
            // An error in the log is its message, and no backtrace below it.
            .env("RUST_BACKTRACE", "0")
            .env_remove("RUST_LIB_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a file of ours"))
            .kill_on_drop(true);
        change(&mut command);
        let mut master = command.spawn().expect("the fixture starts");
        let commands = master.stdin.take();
        let answers = BufReader::new(master.stdout.take().expect("piped")).lines();
        let pid = master.id().expect("running");
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let (tickets, early) = (0, BTreeMap::new());
        Program { master, commands, answers, tickets, early, pid, addr, addrs: Vec::new(), folder, plan }
    }

    /// The folder in which faults are laid.
    pub fn faults(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Where the control socket of this name is, if the program has opened one.
    pub fn control(&self, name: &str) -> PathBuf {
        self.folder.path().join("multi-node").join(format!("{name}.sock"))
    }

    /// What master and nodes have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a file of ours")
    }

    /// Waits until the log has the text.
    pub async fn logged(&self, text: &str) {
        self.until(|| self.log().contains(text)).await;
    }

    /// Gives the master a command, and waits for its answer: `status`, `ready`, `reload`, `scale N`, `shutdown`, `drop`,
    /// `peers`…
    pub async fn command(&mut self, command: &str) -> Value {
        let ticket = self.send(command).await;
        self.answer(ticket).await
    }

    /// Gives the master a command, which it carries out beside those that it was given before.
    pub async fn send(&mut self, command: &str) -> Ticket {
        self.tickets += 1;
        let line = format!("{} {command}\n", self.tickets);
        let commands = self.commands.as_mut().expect("the test has left the program its standard input");
        commands.write_all(line.as_bytes()).await.expect("the master reads commands");
        Ticket(self.tickets)
    }

    /// Waits for the answer to a command.
    pub async fn answer(&mut self, ticket: Ticket) -> Value {
        loop {
            if let Some(answer) = self.early.remove(&ticket) {
                return answer;
            }
            let line = self.answers.next_line().await.expect("readable output").expect("the master answers");
            self.keep(&line);
        }
    }

    /// Commands an upgrade, and waits until the new program listens; or for what the old one says, which stays.
    pub async fn upgrade(&mut self) -> Result<(), Value> {
        let ticket = self.send("upgrade").await;
        self.succeeded(ticket).await
    }

    /// Waits for the new program, unless the old one answers this command.
    pub async fn succeeded(&mut self, ticket: Ticket) -> Result<(), Value> {
        loop {
            if let Some(answer) = self.early.remove(&ticket) {
                return Err(answer);
            }
            if self.hears_of_successor().await {
                return Ok(());
            }
        }
    }

    /// Waits until another program listens in the place of this one.
    pub async fn listens_again(&mut self) {
        while !self.hears_of_successor().await {}
    }

    /// Reads a line: whether it is the first of another program.
    async fn hears_of_successor(&mut self) -> bool {
        let line = self.answers.next_line().await.expect("readable output").expect("a program that lives");
        if line.starts_with("listening on ") {
            assert_eq!(line, format!("listening on {}", self.addrs.join(" ")), "the addresses stay");
            return true;
        }
        self.keep(&line);
        false
    }

    fn keep(&mut self, line: &str) {
        let numbered = line
            .split_once(' ')
            .and_then(|(number, answer)| Some((Ticket(number.parse().ok()?), serde_json::from_str(answer).ok()?)));
        let (number, answer) = numbered.unwrap_or_else(|| panic!("{line:?} is no answer"));
        self.early.insert(number, answer);
    }

    /// The answer to a command, if it came while another was waited for.
    pub fn answered(&mut self, ticket: Ticket) -> Option<Value> {
        self.early.remove(&ticket)
    }

    pub async fn status(&mut self) -> Status {
        serde_json::from_value(self.command("status").await).expect("a status")
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

    /// A connection that the process of this id serves.
    pub async fn connected_to(&self, id: &str) -> Client {
        loop {
            let mut client = Client::connect(self.addr).await.expect("a connection");
            if client.get("/").await.expect("an answer").id() == id {
                return client;
            }
        }
    }

    /// Sends a request on a connection of its own, and returns once a node works on it.
    pub async fn begin(&mut self, path: &str) -> Client {
        // Those in flight may become fewer meanwhile; those begun never do.
        let begun = |status: &Status| status.slots.iter().map(|slot| slot.requests).sum::<u64>();
        let before = begun(&self.status().await);
        let mut client = Client::connect(self.addr).await.expect("a connection");
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await.expect("sent");
        self.status_where(|status| begun(status) > before).await;
        client
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

    /// Waits for the master's end, and returns its exit code; `None`: a signal ended it.
    pub async fn exit(&mut self) -> Option<i32> {
        self.master.wait().await.expect("it is our child").code()
    }

    /// Ends the program in the ordinary way, and checks that it succeeds and leaves nobody behind.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        self.ends_well().await;
    }

    /// Waits for the end that the test has asked for, and checks that it is a success and leaves nobody behind.
    pub async fn ends_well(&mut self) {
        assert_eq!(self.exit().await, Some(0), "the program's end");
        assert_eq!(self.processes(), [0; 0], "processes of the program are left behind");
    }

    /// All living processes of the program, whatever their parent is by now: those with its plan in their environment.
    pub fn processes(&self) -> Vec<u32> {
        procfs::with_variable(VARIABLE, &to_json(&self.plan))
    }

    /// Waits until no process of the program is left.
    pub async fn leaves_nobody(&self) {
        self.until(|| self.processes().is_empty()).await;
    }
}

fn to_json(plan: &Plan) -> String {
    serde_json::to_string(plan).expect("a plan is JSON")
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

/// Sends a process a signal, and then the group that it leads, as `timeout` does and npm on a Ctrl-C.
pub fn send_with_group(pid: u32, signal: Signal) {
    send(pid, signal);
    let group = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    kill_process_group(group, signal).expect("it leads a group");
}
