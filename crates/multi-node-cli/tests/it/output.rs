//! What nodes write.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use multi_node_it::{procfs, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::command::{self, Running};

/// `multi-node run` whose standard output is read.
fn run(args: &[&str]) -> Running {
    let mut command = command::run(args);
    command.stdout(Stdio::piped());
    Running::of(command)
}

/// All that is written until this number of nodes has printed `end`; then the command is ended.
async fn written(args: &[&str], nodes: usize) -> Vec<String> {
    let mut running = run(args);
    let mut lines = BufReader::new(running.stdout()).lines();
    let (mut seen, mut ended) = (Vec::new(), 0);
    while ended < nodes {
        let line = lines.next_line().await.expect("readable").expect("every node says `end`");
        ended += usize::from(line.contains("end"));
        seen.push(line);
    }
    assert_eq!(running.stop().await, Some(0));
    seen
}

#[tokio::test]
async fn no_line_is_cut_or_mixed() {
    const SCRIPT: &str = "i=0; while [ $i -lt 500 ]; do printf 'slot %s' {slot}; printf ' line %s\\n' $i; i=$((i+1)); done; echo end; exec sleep 1000";
    within(30, async {
        let lines = written(&["-n", "2", "--", "sh", "-c", SCRIPT], 2).await;
        for slot in 0..2 {
            let of_slot: Vec<_> = lines.iter().filter(|line| line.starts_with(&format!("slot {slot}"))).collect();
            let expected: Vec<_> = (0..500).map(|number| format!("slot {slot} line {number}")).collect();
            assert!(of_slot.iter().copied().eq(&expected), "{} lines of slot {slot}", of_slot.len());
        }
        assert_eq!(lines.len(), 1002);
    })
    .await;
}

#[tokio::test]
async fn a_long_line_is_split_and_each_line_is_an_object_if_that_is_wanted() {
    const SCRIPT: &str = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end; exec sleep 1000";
    within(30, async {
        let lines = written(&["-n", "1", "--log-format", "json", "--", "sh", "-c", SCRIPT], 1).await;
        let objects: Vec<serde_json::Value> =
            lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
        let seen: Vec<_> = objects
            .iter()
            .map(|object| (object["line"].as_str().expect("a text").len(), object["goes_on"].as_bool()))
            .collect();
        assert_eq!(seen, [(65_536, Some(true)), (34_464, None), (3, None)]);
        assert_eq!((&objects[0]["slot"], &objects[0]["stream"]), (&0.into(), &"stdout".into()));
    })
    .await;
}

#[tokio::test]
async fn a_prefix_has_colours_on_a_terminal_alone() {
    within(30, async {
        let lines = written(&["-n", "1", "--log-format", "prefixed", "--", "sh", "-c", "echo end; exec sleep 1000"], 1);
        assert_eq!(lines.await, ["0 node-1 │ end"]);
    })
    .await;
}

#[tokio::test]
async fn lines_of_the_journal_carry_their_slot() {
    within(30, async {
        let output = tempfile::NamedTempFile::new().expect("a file");
        let file = output.as_file().metadata().expect("it is open");
        for (stream, expected) in [(file.ino(), "0 node-1 │ end\n"), (file.ino() + 1, "end\n")] {
            output.as_file().set_len(0).expect("emptied");
            let mut command = command::run(&["-n", "1", "--", "sh", "-c", "echo end; exec sleep 1000"]);
            command.env("JOURNAL_STREAM", format!("{}:{stream}", file.dev()));
            command.stdout(File::options().append(true).open(output.path()).expect("ours"));
            let running = Running::of(command);
            let written = || std::fs::read_to_string(output.path()).expect("text");
            while !written().ends_with('\n') {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(written(), expected);
            assert_eq!(running.stop().await, Some(0));
        }
    })
    .await;
}

/// Writes 10 MB in lines of 100 bytes, and then `end`.
const FLOOD: &str = "yes $(printf %099d 0) | head -n 100000; echo end; exec sleep 1000";

/// Whether `status` says that the node waits until what it writes is taken.
async fn is_held(running: &Running) -> bool {
    let status = running.command(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    status["slots"][0]["output_held"].as_bool().expect("it is known")
}

#[tokio::test]
async fn a_node_waits_for_whoever_reads_its_output() {
    within(60, async {
        let mut running = run(&["-n", "1", "--ready-after", "0s", "--log-full", "block", "--", "sh", "-c", FLOOD]);
        let stdout = running.stdout();
        running.ready(1).await;
        while !is_held(&running).await {}
        let mut lines = BufReader::new(stdout).lines();
        let mut count = 0;
        while lines.next_line().await.expect("readable").expect("the flood has an end") != "end" {
            count += 1;
        }
        assert_eq!(count, 100_000, "nothing is lost");
        assert!(!is_held(&running).await);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_node_need_not_wait_if_lines_may_be_left_out() {
    within(60, async {
        let mut running = run(&["-n", "1", "--ready-after", "0s", "--log-full", "drop", "--", "sh", "-c", FLOOD]);
        let mut stdout = running.stdout();
        running.ready(1).await;
        let node = procfs::children(running.pid())[0];
        while procfs::name(node).is_some_and(|name| name != "sleep") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let written = running.signal_and_read(&mut stdout).await;
        let missed = |line: &str| line.strip_prefix('[')?.split_once(" lines left out")?.0.parse::<usize>().ok();
        let left_out: usize = written.lines().filter_map(missed).sum();
        let kept = written.lines().filter(|line| missed(line).is_none()).count();
        assert!(left_out > 0, "{kept} lines were written");
        assert_eq!(kept + left_out, 100_001, "each line is written or counted, {left_out} of them");
    })
    .await;
}

#[tokio::test]
async fn nodes_write_by_themselves_if_that_is_wanted() {
    within(30, async {
        let mut running =
            run(&["-n", "1", "--log", "inherit", "--", "sh", "-c", "readlink /proc/self/fd/1; exec sleep 1000"]);
        let own = std::fs::read_link(format!("/proc/{}/fd/1", running.pid())).expect("a pipe");
        let mut line = String::new();
        BufReader::new(running.stdout()).read_line(&mut line).await.expect("readable");
        assert_eq!(line.trim_end(), own.to_string_lossy());
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn what_nodes_write_is_in_the_log_that_others_follow() {
    const SCRIPT: &str = "echo hello from {slot}; echo and a complaint >&2; echo end; exec sleep 1000";
    within(30, async {
        let name = format!("output-{}", std::process::id());
        let command = ["run", "--name", &name, "-n", "2", "--ready-after", "0s", "--", "sh", "-c", SCRIPT];
        let mut command = command::multi_node(&command);
        command.stdout(Stdio::piped());
        let mut running = Running::of(command);
        let mut lines = BufReader::new(running.stdout()).lines();
        running.ready(2).await;
        let mut ended = 0;
        while ended < 2 {
            ended += usize::from(lines.next_line().await.expect("readable").expect("both say `end`") == "end");
        }
        let logs = command::output(&["logs", "--name", &name, "--slot", "1"]).await;
        let logs = String::from_utf8_lossy(&logs.stdout);
        assert!(logs.contains(" 1 node-2 out │ hello from 1\n"), "{logs}");
        assert!(!logs.contains("hello from 0"), "{logs}");

        let mut following = command::multi_node(&["logs", "--name", &name, "-f", "--slot", "0"]);
        let mut following = following.stdout(Stdio::piped()).spawn().expect("the command starts");
        let mut lines = BufReader::new(following.stdout.take().expect("piped")).lines();
        while !lines.next_line().await.expect("readable").expect("a line").ends_with(" 0 node-1 err │ and a complaint")
        {
        }
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_full_standard_error_does_not_stop_the_supervising() {
    within(60, async {
        let flood = "exec yes complaint >&2";
        let mut running =
            Running::start(&["-n", "1", "--ready-after", "0s", "--settle", "0s", "--", "sh", "-c", flood]);
        running.ready(1).await;
        for _ in 0..3 {
            while !is_held(&running).await {}
            let output = running.command(&["reload", "--wait"]).await;
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

/// How long a follower reads nothing: longer than any other client of the control socket may.
const UNREAD: Duration = Duration::from_secs(12);

/// So much the master may hold for it beside what it holds anyway, in bytes.
const HELD: u64 = 32 << 20;

/// Writes 400 kB when it starts: two of them write less than the log keeps, so that what the master logs then is not pushed out.
const CHATTY: &str = "\
line=$(printf %0500d 0) i=0
while [ $i -lt 800 ]; do echo $line; i=$((i + 1)); done
exec sleep 1000";

#[tokio::test]
async fn a_follower_that_does_not_read_costs_the_program_nothing() {
    within(60, async {
        let args = ["-n", "2", "--ready-after", "0s", "--settle", "0s", "--", "sh", "-c", CHATTY];
        let mut running = Running::start(&args);
        running.ready(2).await;
        let mut following = command::multi_node(&["logs", "--name", &running.name, "-f"]);
        let mut following = following.stdout(Stdio::piped()).spawn().expect("the command starts");
        let mut lines = BufReader::new(following.stdout.take().expect("piped")).lines();
        lines.next_line().await.expect("readable").expect("a line");
        let (before, begun, mut generation) = (procfs::resident(running.pid()), Instant::now(), 0);
        let reload = async |generation: u32| {
            let output = running.command(&["reload", "--wait"]).await;
            assert!(output.status.success(), "generation {generation}: {output:?}");
        };
        while begun.elapsed() < UNREAD {
            generation += 1;
            reload(generation).await;
        }
        let grown = procfs::resident(running.pid()).saturating_sub(before);
        assert!(grown < HELD, "the master has grown by {grown} bytes");
        generation += 1;
        let news = format!("reload done: generation {generation} ");
        let mut told = false;
        let goes_on = async {
            loop {
                let line = lines.next_line().await.expect("readable").expect("it follows");
                told |= line.ends_with(" lines were dropped before they could be read");
                if line.contains(&news) {
                    break;
                }
            }
        };
        tokio::join!(reload(generation), goes_on);
        assert!(told, "the follower knows that it missed lines");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

impl Running {
    /// Ends it, and reads all that is left.
    async fn signal_and_read(&mut self, stdout: &mut tokio::process::ChildStdout) -> String {
        self.signal(rustix::process::Signal::TERM);
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.expect("readable");
        assert_eq!(self.exit().await, Some(0));
        text
    }
}
