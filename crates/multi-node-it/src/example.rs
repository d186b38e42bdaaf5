//! The library's examples, run as a user would.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::program::fixture;
use crate::{send, within};

/// A running example. On drop its master is killed, and its nodes then end.
pub struct Example {
    process: Child,
    /// What it prints first.
    pub said: String,
    /// The address in what it prints first.
    pub addr: SocketAddr,
    log: NamedTempFile,
    /// Open, since the next program prints too after an upgrade.
    _prints: Lines<BufReader<ChildStdout>>,
}

impl Example {
    /// Starts the example with these variables, and waits until it says where it serves.
    ///
    /// # Errors
    ///
    /// When it is not built, or ends before it serves.
    pub async fn start(name: &str, variables: &[(&str, &str)]) -> anyhow::Result<Example> {
        let log = NamedTempFile::new()?;
        let mut command = Command::new(built(name)?);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.reopen()?);
        let mut process = command.kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("piped")?).lines();
        let said = within(30, lines.next_line()).await?.with_context(|| {
            let said = std::fs::read_to_string(log.path()).unwrap_or_default();
            format!("the example ended before it served: {said}")
        })?;
        let addr = said.split([' ', '/']).find_map(|word| word.parse().ok());
        let addr = addr.with_context(|| format!("no address in {said:?}"))?;
        Ok(Example { process, said, addr, log, _prints: lines })
    }

    /// What master and nodes have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// The master's process id.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("it is waited for by `end` only")
    }

    /// Ends it as a service manager would, and expects that it ends well.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn stop(self) -> anyhow::Result<()> {
        send(self.pid(), Signal::TERM);
        self.end().await
    }

    /// Waits for the end that the test has asked for, and expects that it is a success.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn end(mut self) -> anyhow::Result<()> {
        let status = within(60, self.process.wait()).await?;
        ensure!(status.success(), "the example ended with {status}\n{}", self.log());
        Ok(())
    }
}

/// Where it is: cargo builds the examples beside the tests of the whole workspace.
fn built(name: &str) -> anyhow::Result<PathBuf> {
    let path = fixture().with_file_name("examples").join(name);
    ensure!(path.exists(), "{} is not built: cargo build --workspace --examples", path.display());
    Ok(path)
}
