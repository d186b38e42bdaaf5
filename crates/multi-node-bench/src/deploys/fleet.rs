//! A program that runs as nodes, and is deployed under the probe.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Options, Report, kept,
    programs::{Parts, Program},
};
use crate::process::Process;

/// How long a program may take until all its nodes serve.
const WITHIN: Duration = Duration::from_secs(60);
/// Longer than old nodes drain.
const ENDS_WITHIN: Duration = Duration::from_secs(40);

/// The program. Dropped, its master is killed.
pub(super) struct Fleet<'a> {
    program: &'static Program,
    parts: &'a Parts,
    folder: TempDir,
    name: String,
    port: u16,
    nodes: usize,
    process: Option<Process>,
}

impl Fleet<'_> {
    /// Starts it, and waits until every slot serves.
    pub(super) fn start<'a>(program: &'static Program, parts: &'a Parts, options: &Options) -> Result<Fleet<'a>> {
        let folder = tempfile::Builder::new().prefix("deploys-").tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let name = format!("deploys-{}-{port}", std::process::id());
        let mut fleet = Fleet { program, parts, folder, name, port, nodes: options.nodes, process: None };
        fleet.write(true)?;
        let log = File::create(kept(options, program, "log"))?;
        let mut command = fleet.command();
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        fleet.process = Some(Process::run(&mut command)?);
        fleet.becomes_ready()?;
        Ok(fleet)
    }

    /// Writes a release in one step.
    pub(super) fn write(&self, is_sound: bool) -> Result<()> {
        let program = self.program;
        let text = self.filled_in(program.sound);
        let text = if is_sound { text } else { format!("{}{text}", program.broken) };
        let new = self.folder.path().join(".new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.folder.path().join(program.file))?)
    }

    /// Deploys so often under the probe; gives its report.
    pub(super) fn probe(&self, what: &str, deploys: usize, options: &Options) -> Result<Report> {
        let deploy = format!("{} reload --wait --name {}", self.parts.command.display(), self.name);
        let line = format!("for n in $(seq {deploys}); do {deploy} || exit; done");
        let output = Command::new(&self.parts.command)
            .args(["probe", &format!("http://127.0.0.1:{}/", self.port), "--json", "--during", &line])
            .args(["--rate", &options.rate.to_string(), "--max-lost", "1000000000"])
            .stderr(File::create(kept(options, self.program, &format!("{what}.log")))?)
            .output()?;
        fs::write(kept(options, self.program, &format!("{what}.json")), &output.stdout)?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("the probe ended with {}", output.status))
    }

    pub(super) fn stop(mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(Signal::TERM)?;
        let code = process.exit(ENDS_WITHIN)?;
        ensure!(code == Some(0), "the program ended with {code:?}");
        Ok(())
    }

    fn command(&self) -> Command {
        let line = self.filled_in(self.program.line);
        let words: Vec<&str> = line.split(' ').collect();
        if self.program.is_master() {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            return command;
        }
        let mut command = Command::new(&self.parts.command);
        let (bind, nodes) = (format!("127.0.0.1:{}", self.port), self.nodes.to_string());
        command.args(["run", "--name", &self.name, "--nodes", &nodes, "--bind", &bind]).args(words);
        command
    }

    fn filled_in(&self, text: &str) -> String {
        let path = |path: &std::path::Path| path.display().to_string();
        [
            ("@BENCH@", path(&self.parts.bench)),
            ("@SERVERS@", path(&self.parts.servers)),
            ("@PACKAGE@", path(&self.parts.package)),
            ("@FOLDER@", path(self.folder.path())),
            ("@PORT@", self.port.to_string()),
            ("@NODES@", self.nodes.to_string()),
            ("@NAME@", self.name.clone()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn becomes_ready(&mut self) -> Result<()> {
        let limit = Instant::now() + WITHIN;
        while !self.is_ready()? {
            ensure!(Instant::now() < limit, "not all nodes serve within {WITHIN:?}");
            if !self.process.as_mut().context("it was started")?.is_running()? {
                bail!("it has ended; its log says why");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn is_ready(&self) -> Result<bool> {
        let status = Command::new(&self.parts.command).args(["status", "--json", "--name", &self.name]).output()?;
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        Ok(status["ready"] == true)
    }
}
