//! Processes of this program, none of which outlives the one that started it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde::de::DeserializeOwned;

/// Makes the kernel kill this process when its parent ends, however that happens: Ctrl-C, an error, a SIGKILL.
///
/// The parent must have started it from its main thread, since the kernel watches the thread.
pub(crate) fn die_with_parent() -> Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Ends this process with an error when the time is over; what it has started ends with it.
pub(crate) fn end_after(time: Duration) {
    thread::spawn(move || {
        thread::sleep(time);
        eprintln!("not done within {time:?}");
        std::process::exit(1);
    });
}

/// A process of this program that is killed when this is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts this program with these arguments; its standard output can be read.
    pub(crate) fn start(args: &[String], stdin: Stdio) -> Result<Process> {
        Process::run(Command::new(std::env::current_exe()?).args(args).stdin(stdin).stdout(Stdio::piped()))
    }

    /// Starts any program.
    pub(crate) fn run(command: &mut Command) -> Result<Process> {
        command.spawn().map(Process).with_context(|| format!("cannot start {command:?}"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks it to end, and kills it if it takes long.
    pub(crate) fn end(mut self) {
        const LONGEST: Duration = Duration::from_secs(3);
        // It may have ended, and what it leaves is killed when this is dropped.
        let _ = self.signal(Signal::TERM);
        let _ = self.exit(LONGEST);
    }

    /// Waits for its end, and returns its exit code; `None`: a signal ended it.
    pub(crate) fn exit(&mut self, within: Duration) -> Result<Option<i32>> {
        let limit = Instant::now() + within;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.code());
            }
            ensure!(Instant::now() < limit, "process {} has not ended within {within:?}", self.pid());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next line of its output, as JSON. A process that is asked twice says no second line before the first was read.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.answers(1)?.pop().context("one line")
    }

    /// The next lines of its output, each as JSON.
    pub(crate) fn answers<T: DeserializeOwned>(&mut self, count: usize) -> Result<Vec<T>> {
        let pid = self.pid();
        let output = self.0.stdout.as_mut().context("its output is read")?;
        let mut output = BufReader::new(output);
        let mut answer = || {
            let mut line = String::new();
            output.read_line(&mut line)?;
            serde_json::from_str(&line).with_context(|| format!("process {pid} answered {line:?}"))
        };
        (0..count).map(|_| answer()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may already have ended. Only this handle can reap it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A value of the command line as it is typed.
pub(crate) fn argument(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Kills a process that another one started.
///
/// Call it while that other one lives: it keeps the pid from being given to a stranger.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
