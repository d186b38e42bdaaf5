//! `multi-node top` on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use multi_node_it::{Plan, Program, send, within};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::command::multi_node;

/// A command on a terminal of its own.
struct OnTerminal {
    child: Child,
    ours: File,
    theirs: File,
    output: mpsc::Receiver<Vec<u8>>,
    /// What was written to the terminal so far.
    seen: String,
}

impl OnTerminal {
    fn start(program: &Program, args: &[&str]) -> OnTerminal {
        OnTerminal::of_width(130, program, multi_node(args))
    }

    fn of_width(columns: u16, program: &Program, mut command: Command) -> OnTerminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("ours");
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).expect("a size");
        let path = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
        let theirs = File::options().read(true).write(true).open(path).expect("the other side");
        let end = || Stdio::from(OwnedFd::from(theirs.try_clone().expect("a duplicate")));
        command.env("XDG_RUNTIME_DIR", program.faults()).stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("the command starts");
        let ours = File::from(ours);
        let output = read(ours.try_clone().expect("a duplicate"));
        OnTerminal { child, ours, theirs, output, seen: String::new() }
    }

    /// Waits until this was written.
    async fn shows(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let bytes = self.output.recv().await.unwrap_or_else(|| panic!("{text:?} was not shown: {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn types(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("the terminal takes it");
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.theirs).expect("a terminal").local_modes.contains(rustix::termios::LocalModes::ICANON)
    }

    /// Waits for the end, after which the terminal is as it was.
    async fn ends_well(mut self) {
        assert!(self.child.wait().await.expect("our child").success());
        assert!(!self.is_raw(), "lines are read as before");
        // The terminal's own screen is back.
        self.shows("\x1b[?1049l").await;
    }
}

/// Reads what is written to the terminal; the thread ends with it.
fn read(mut terminal: File) -> mpsc::Receiver<Vec<u8>> {
    let (bytes, output) = mpsc::channel(64);
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = terminal.read(&mut chunk) {
            if bytes.blocking_send(chunk[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}

async fn program() -> Program {
    Program::serving(Plan { control: Some("web".to_owned()), ..Plan::nodes(2) }).await
}

#[tokio::test]
async fn top_takes_commands_and_leaves_the_terminal_as_it_was() {
    within(30, async {
        let mut program = program().await;
        let mut top = OnTerminal::start(&program, &["top"]);
        top.shows("node-2").await;
        assert!(top.is_raw());
        top.types("r");
        top.shows("y/n").await;
        top.types("y");
        program.logged("reload done").await;
        top.types("+");
        program.status_where(|status| status.wanted == 3 && status.is_ready()).await;
        top.types("q");
        top.ends_well().await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_signal_leaves_the_terminal_as_it_was() {
    within(30, async {
        let program = program().await;
        let mut top = OnTerminal::start(&program, &["top"]);
        top.shows("node-2").await;
        send(top.child.id().expect("running"), Signal::TERM);
        top.ends_well().await;
        program.stop().await;
    })
    .await;
}

/// What `status` writes to a terminal of this width, up to its last line.
async fn written(columns: u16, program: &Program, command: Command) -> String {
    let mut command = OnTerminal::of_width(columns, program, command);
    assert!(command.child.wait().await.expect("our child").success());
    command.shows("node-2").await;
    command.seen
}

#[tokio::test]
async fn a_narrow_terminal_has_no_broken_lines_and_colours_can_be_done_without() {
    within(30, async {
        let program = program().await;
        let status = written(60, &program, multi_node(&["status"])).await;
        assert!(status.contains("\x1b[32mserving"), "{status:?}");
        let mut plain = multi_node(&["status"]);
        plain.env("NO_COLOR", "1");
        let status = written(60, &program, plain).await;
        assert!(!status.contains('\x1b') && status.contains("RESTARTS") && !status.contains("GEN"), "{status:?}");
        assert!(status.lines().all(|line| line.chars().count() <= 60), "{status}");
        let status = written(130, &program, multi_node(&["status"])).await;
        assert!(status.contains("GEN") && status.contains("IN FLIGHT"), "{status:?}");
        program.stop().await;
    })
    .await;
}
