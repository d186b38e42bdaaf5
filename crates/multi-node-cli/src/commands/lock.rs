//! `multi-node lock`

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use multi_node::Error;
use multi_node::admin::{Description, Request};
use multi_node::lock::{LeaseDirectory, LeaseFile, check_lease_name};

use crate::asking;
use crate::exit::{Locked, NoInstance};
use crate::settings::Time;
use crate::target::Target;

/// How often a lock that another process has is tried again.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Runs a command that only one process of the machine may run at a time.
///
/// It waits for the lock, and then becomes the command, which has the lock until it ends, and so has what it starts and leaves behind, as with
/// flock(1). The command gets the signals, and its exit code is that of this command. Locks are the leases of a program that runs under
/// `multi-node run` or uses the library: the lock `cron` and the job of `nodes.leader("cron", …)` exclude each other.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  In what a node has started, such as its scheduler:
    multi-node lock cron -- python send_mails.py
  In a crontab, where another command that still runs is to be left alone:
    */5 * * * * multi-node lock --name web --no-wait mails -- /srv/web/send-mails

Exit codes: those of the command; 3 where the lock was not to be had (--no-wait, --timeout), 4 where there is no such program, 126 where the \
command cannot be executed, 127 where it is not found.")]
pub(crate) struct Lock {
    /// The lock's name: 1 to 255 bytes
    #[arg(value_name = "LOCK", value_parser = lock_name)]
    lock: String,
    /// The program that the lock belongs to. What a node has started need not say it
    #[arg(long, value_name = "NAME", conflicts_with = "socket")]
    name: Option<String>,
    /// The path of its control socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Does not wait for the lock
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    /// How long to wait for the lock [default: for as long as it takes]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Time>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn lock_name(text: &str) -> Result<String, String> {
    check_lease_name(text).map(|()| text.to_owned()).map_err(|_| "expected 1 to 255 bytes".to_owned())
}

impl Lock {
    /// Returns only if the command does not run.
    pub(super) fn run(self) -> Result<()> {
        let of_node = if self.name.is_none() && self.socket.is_none() { LeaseDirectory::of_node() } else { None };
        let directory = match of_node {
            Some(directory) => directory,
            None => directory(&Target::of(self.name.clone(), self.socket.clone()))?,
        };
        let timeout = if self.no_wait { Some(Duration::ZERO) } else { self.timeout.map(|Time(time)| time) };
        let file = wait(&directory, &self.lock, timeout)?;
        Err(become_command(&file, &self.command).into())
    }
}

/// Where the leases of this program are.
#[tokio::main(flavor = "current_thread")]
async fn directory(target: &Target) -> Result<LeaseDirectory> {
    let description: Description = asking::quick(&mut target.connect().await?, &Request::Describe).await?;
    let other_user = "its nodes run as another user, so only what they start can take its locks";
    let leases = description.leases.ok_or_else(|| NoInstance(format!("{}: {other_user}", description.name)))?;
    Ok(LeaseDirectory::from(leases))
}

fn wait(directory: &LeaseDirectory, lock: &str, timeout: Option<Duration>) -> Result<LeaseFile> {
    let begin = Instant::now();
    loop {
        let tried = directory.try_lock(lock);
        let tried = tried
            .map_err(|(path, error)| anyhow::Error::from(error).context(format!("cannot lock {}", path.display())))?;
        if let Some(file) = tried {
            return Ok(file);
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(begin.elapsed()));
        if left == Some(Duration::ZERO) {
            return Err(Locked(lock.to_owned()).into());
        }
        std::thread::sleep(left.map_or(TRY_EVERY, |left| left.min(TRY_EVERY)));
    }
}

/// The command takes this process's place, and inherits the lock.
fn become_command(file: &LeaseFile, command: &[OsString]) -> Error {
    let program = command[0].to_string_lossy().into_owned();
    let source = match file.inherit() {
        Ok(()) => process::Command::new(&command[0]).args(&command[1..]).exec(),
        Err(error) => error,
    };
    Error::Program { program, source }
}
