//! The command that runs while clients send.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::signal_name;

/// How long a command may take to end once it was asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How a command has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ended {
    /// As it was given to the shell.
    pub(crate) line: String,
    #[serde(flatten)]
    pub(crate) how: How,
    pub(crate) took_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "ended")]
pub(crate) enum How {
    Exited {
        exit_code: i32,
    },
    Signalled {
        signal: i32,
    },
    /// It took longer than it may, and was ended.
    TimedOut,
    /// Ctrl-C came first, and it was ended.
    Interrupted,
    NotStarted {
        error: String,
    },
}

/// A command under way.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    line: String,
    begun: Instant,
}

impl Ended {
    pub(crate) fn is_success(&self) -> bool {
        self.how == How::Exited { exit_code: 0 }
    }

    /// What became of it, as the end of a sentence about it.
    pub(crate) fn told(&self) -> String {
        match &self.how {
            How::Exited { exit_code } => format!("exited with code {exit_code}"),
            How::Signalled { signal } => format!("was ended by {}", signal_name::of(*signal)),
            How::TimedOut => "was ended, since it took longer than --command-timeout".to_owned(),
            How::Interrupted => "was interrupted".to_owned(),
            How::NotStarted { error } => format!("could not be started: {error}"),
        }
    }
}

impl Running {
    /// Gives the line to the shell. The command stays in the terminal's foreground, so that it may ask for a password.
    pub(crate) fn start(line: &str) -> Result<Running, Ended> {
        let begun = Instant::now();
        let spawned = standard_error().and_then(|stderr| {
            Command::new("/bin/sh").arg("-c").arg(line).stdin(Stdio::null()).stdout(stderr).kill_on_drop(true).spawn()
        });
        match spawned {
            Ok(child) => Ok(Running { child, line: line.to_owned(), begun }),
            Err(error) => Err(ended(line, How::NotStarted { error: crate::exit::system(&error) }, begun)),
        }
    }

    /// Waits for its end, for no longer than it may take. Cancel-safe.
    pub(crate) async fn end(&mut self, within: Duration) -> Ended {
        match timeout(within, self.child.wait()).await {
            Ok(status) => ended(&self.line, how(status), self.begun),
            Err(_) => self.be_ended(How::TimedOut).await,
        }
    }

    /// Ends it: by SIGTERM, and by SIGKILL where it does not listen.
    pub(crate) async fn be_ended(&mut self, how: How) -> Ended {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // It may already have ended. It is a child that was not waited for, so no other process has its number.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(ENDS_WITHIN, self.child.wait()).await.is_err() {
            // SIGKILL fails for what has ended only.
            let _ = self.child.kill().await;
        }
        ended(&self.line, how, self.begun)
    }
}

/// Standard output is for the report.
fn standard_error() -> io::Result<Stdio> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

fn how(status: io::Result<ExitStatus>) -> How {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(exit_code), _) => How::Exited { exit_code },
            (None, signal) => How::Signalled { signal: signal.unwrap_or_default() },
        },
        Err(error) => How::NotStarted { error: crate::exit::system(&error) },
    }
}

fn ended(line: &str, how: How, begun: Instant) -> Ended {
    let took_ms = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Ended { line: line.to_owned(), how, took_ms }
}
