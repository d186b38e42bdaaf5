//! Several processes with one database: what is acknowledged is there, whichever process is killed or stopped.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use multi_node_sessions::{Creation, Durability, SessionDatabase, SessionError, Settings, unix_millis};
use multi_node_sys::process;

const DIRECTORY: &str = "MULTI_NODE_TEST_SESSIONS";
const TASK: &str = "MULTI_NODE_TEST_TASK";
const DURABLE: &str = "MULTI_NODE_TEST_DURABLE";

const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

fn settings(durability: Durability) -> Settings {
    Settings { durability, busy_deadline: Duration::from_secs(20), ..Settings::default() }
}

fn in_an_hour() -> i64 {
    unix_millis() + 3_600_000
}

/// This test's program, started again for one task.
struct Process {
    child: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(directory: &Path, task: &str, durability: Durability) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.args(["--exact", "child", "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env(DIRECTORY, directory).env(TASK, task);
        if durability == Durability::Durable {
            command.env(DURABLE, "1");
        }
        let mut child = command.spawn().expect("it starts");
        let commands = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Process { child, commands, lines }
    }

    /// The next line that the task has printed; a test program prints others, too.
    fn line(&mut self) -> Option<String> {
        let lines = self.lines.by_ref().map_while(Result::ok);
        lines.filter_map(|line| line.split_once("> ").map(|(_, text)| text.to_owned())).next()
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("it reads");
        self.line().expect("it answers")
    }

    fn send(&self, signal: i32) {
        let pidfd = process::open(self.child.id()).expect("it is a child");
        process::send_numbered(pidfd.as_fd(), signal).expect("it is ours");
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let durability = std::env::var_os(DURABLE).map_or(Durability::UntilShutdown, |_| Durability::Durable);
    let database = SessionDatabase::open(directory, settings(durability)).expect("opened");
    match std::env::var(TASK).expect("a task").as_str() {
        "obey" => obey(&database),
        "create" => create(&database),
        "write" => write(&database),
        task => panic!("no task {task}"),
    }
}

fn obey(database: &SessionDatabase) {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let fields: Vec<&str> = line.split(' ').collect();
        let answer = match fields[..] {
            ["put", id, data] => {
                database.put(id.as_bytes(), in_an_hour(), data.into()).wait().map(|_| "done".to_owned())
            }
            ["delete", id] => database.delete(id.as_bytes()).wait().map(|_| "done".to_owned()),
            ["get", id] => database.load(id.as_bytes()).map(|found| {
                found.map_or("nothing".to_owned(), |found| String::from_utf8_lossy(&found.data).into_owned())
            }),
            _ => panic!("no command {line}"),
        };
        println!("> {}", answer.expect("no failure"));
    }
}

/// Creates sessions, and prints the number of each when it is acknowledged.
fn create(database: &SessionDatabase) {
    for number in 0..u32::MAX {
        let id = format!("{}-{number}", std::process::id());
        let created = database.create(id.as_bytes(), in_an_hour(), vec![3; 500]).wait();
        assert_eq!(created.expect("written"), Creation::Created);
        println!("> {number}");
    }
}

/// Has always writes under way.
fn write(database: &SessionDatabase) {
    println!("> begins");
    loop {
        let writes: Vec<_> = (0..64_u8).map(|n| database.put(&[n], in_an_hour(), vec![n; 2000])).collect();
        writes.into_iter().for_each(|write| drop(write.wait()));
    }
}

#[test]
fn what_one_process_has_written_every_other_sees_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut processes: Vec<Process> =
        (0..3).map(|_| Process::start(folder.path(), "obey", Durability::UntilShutdown)).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut expected = vec!["nothing".to_owned(); 5];
    for round in 0..1000 {
        let (id, by) = (random.usize(..5), random.usize(..3));
        if random.u8(..4) == 0 {
            processes[by].ask(&format!("delete {id}"));
            expected[id] = "nothing".to_owned();
        } else {
            processes[by].ask(&format!("put {id} {round}"));
            expected[id] = round.to_string();
        }
        for process in &mut processes {
            assert_eq!(process.ask(&format!("get {id}")), expected[id], "round {round}");
        }
    }
}

#[test]
fn a_hundred_kills_during_writes_lose_nothing_that_was_acknowledged() {
    for durability in [Durability::UntilShutdown, Durability::Durable] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut random, mut acknowledged) = (fastrand::Rng::new(), 0);
        for _ in 0..25 {
            let mut processes: Vec<Process> =
                (0..4).map(|_| Process::start(folder.path(), "create", durability)).collect();
            for process in &mut processes {
                assert_eq!(process.line().as_deref(), Some("0"));
            }
            for process in &mut processes {
                std::thread::sleep(Duration::from_micros(random.u64(..8_000)));
                process.kill();
            }
            let database = SessionDatabase::open(folder.path(), settings(durability)).expect("opened");
            for mut process in processes {
                let pid = process.child.id();
                let last = std::iter::from_fn(|| process.line()).filter_map(|line| line.parse::<u32>().ok()).last();
                for number in 0..=last.unwrap_or(0) {
                    let found = database.load(format!("{pid}-{number}").as_bytes()).expect("readable");
                    assert_eq!(found.map(|found| found.data), Some(vec![3; 500]), "{pid}-{number} was acknowledged");
                    acknowledged += 1;
                }
            }
        }
        assert!(acknowledged > 200, "{acknowledged} were acknowledged");
    }
}

#[test]
fn a_process_that_is_stopped_while_it_writes_costs_the_others_an_error_and_not_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { busy_deadline: Duration::from_millis(100), ..Settings::default() };
    let database = SessionDatabase::open(folder.path(), settings).expect("opened");
    database.put(b"a", in_an_hour(), vec![1]).wait().expect("written");
    let mut process = Process::start(folder.path(), "write", Durability::UntilShutdown);
    process.line().expect("it begins");
    let begin = Instant::now();
    let (error, waited) = loop {
        process.send(SIGSTOP);
        let once = Instant::now();
        // Until it was stopped in the middle of a transaction.
        match database.put(b"b", in_an_hour(), vec![1]).wait() {
            Err(error) if is_stopped(process.child.id()) => break (error, once.elapsed()),
            _ => process.send(SIGCONT),
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "it was never stopped while it wrote");
        std::thread::sleep(Duration::from_micros(fastrand::u64(..5000)));
    };
    let holder = format!("process {} (stopped)", process.child.id());
    assert!(matches!(error, SessionError::Busy { .. }) && error.to_string().contains(&holder), "{error}");
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    assert!(database.load(b"a").expect("readers wait for nobody").is_some());
    assert!(SessionDatabase::open(folder.path(), Settings::default()).is_ok(), "a process can start meanwhile");
    process.kill();
    database.put(b"b", in_an_hour(), vec![2]).wait().expect("the kernel has released the lock");
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is a child");
    stat.contains(") T ")
}

#[test]
fn processes_that_start_together_make_one_database() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes: Vec<Process> =
            (0..6).map(|_| Process::start(folder.path(), "obey", Durability::UntilShutdown)).collect();
        for (n, process) in processes.iter_mut().enumerate() {
            process.ask(&format!("put {n} x"));
        }
        for process in &mut processes {
            (0..6).for_each(|n| assert_eq!(process.ask(&format!("get {n}")), "x"));
        }
    }
}
