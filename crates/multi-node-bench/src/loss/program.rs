//! multi-node under test, as an operator runs it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use multi_node::{State, Status};
use rustix::process::Signal;

use super::{orders, releases::Releases, web};
use crate::process::Process;

/// How long any change of the fleet may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How often a fact that cannot be awaited is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The program. Dropped, its master is killed, and its nodes end by themselves.
pub(super) struct Program {
    releases: Releases,
    socket: PathBuf,
    pub(super) address: SocketAddr,
    process: Process,
}

impl Program {
    /// Starts it by the path of the current release, and waits until every slot serves.
    pub(super) fn start(args: &[String], log: &Path) -> Result<Program> {
        let releases = Releases::new()?;
        let socket = releases.folder().join("orders");
        let mut command = Command::new(releases.program());
        // An error in the log is its message, and no backtrace below it.
        command.env("RUST_BACKTRACE", "0");
        command.arg("loss-server").arg("--orders").arg(&socket).args(args);
        let process = Process::run(command.stdin(Stdio::null()).stderr(File::create(log)?))?;
        until(|| Ok(orders::give::<Result<(), String>>(&socket, "ready").is_ok()))?;
        let address = orders::give::<String>(&socket, "address")?.parse().context("a TCP address")?;
        Ok(Program { releases, socket, address, process })
    }

    /// Puts a new release live, as a deploy script does; gives what the order printed.
    pub(super) fn deploy(&mut self) -> Result<String> {
        self.releases.deploy()?;
        let (success, said) = self.order("reload")?;
        ensure!(success, "a deploy failed: {said}");
        self.serves(&self.releases.current())?;
        Ok(said)
    }

    /// Tries a release that does not come up, and goes back; gives what the order printed.
    pub(super) fn deploy_broken(&mut self) -> Result<String> {
        let before = self.releases.current();
        let nodes = self.ids()?;
        let old = self.releases.deploy_broken()?;
        let (success, said) = self.order("reload")?;
        ensure!(!success, "a deploy of a broken release ended with code 0: {said}");
        ensure!(self.ids()? == nodes, "a broken release has cost nodes: {nodes:?} became {:?}", self.ids()?);
        self.serves(&before)?;
        self.releases.turn_to(old)?;
        Ok(said)
    }

    /// Puts a new release live, the master included, and checks that its process runs it.
    pub(super) fn upgrade(&mut self) -> Result<()> {
        self.releases.deploy()?;
        let (success, said) = self.order("upgrade")?;
        ensure!(success, "an upgrade failed: {said}");
        until(|| Ok(self.status().is_ok()))?;
        self.settled()?;
        let runs = fs::read_link(format!("/proc/{}/exe", self.process.pid()))?;
        ensure!(runs == self.releases.program().canonicalize()?, "the master runs {}", runs.display());
        self.serves(&self.releases.current())
    }

    /// Waits until every slot serves, and nothing drains.
    pub(super) fn settled(&self) -> Result<Status> {
        let mut settled = None;
        until(|| {
            let status = self.status()?;
            let serves =
                status.slots.len() == status.wanted && status.slots.iter().all(|slot| slot.state == State::Serving);
            settled = serves.then_some(status);
            Ok(serves)
        })?;
        settled.context("it is settled")
    }

    pub(super) fn status(&self) -> Result<Status> {
        orders::give(&self.socket, "status")
    }

    /// Ends it in the ordinary way, and checks that it succeeds.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        let code = self.process.exit(WITHIN)?;
        ensure!(code == Some(0), "the program ended with {code:?}");
        Ok(())
    }

    fn ids(&self) -> Result<Vec<String>> {
        Ok(self.settled()?.slots.iter().filter_map(|slot| slot.id).map(|id| id.to_string()).collect())
    }

    /// Checks that whoever asks is answered by this release.
    fn serves(&self, release: &str) -> Result<()> {
        for _ in 0..8 {
            let answer = web::get(self.address, "/release")?;
            ensure!(answer == release, "release {answer} answers, and not {release}");
        }
        Ok(())
    }

    /// Gives an order by the command; tells whether its exit code was 0, and what it said.
    fn order(&self, order: &str) -> Result<(bool, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        let output = command.env("RUST_BACKTRACE", "0").arg("loss-order").arg(&self.socket).arg(order).output()?;
        let said = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
    }
}

/// Waits for a fact.
pub(super) fn until(mut fact: impl FnMut() -> Result<bool>) -> Result<()> {
    let limit = Instant::now() + WITHIN;
    while !fact()? {
        if Instant::now() > limit {
            bail!("not so within {WITHIN:?}");
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
