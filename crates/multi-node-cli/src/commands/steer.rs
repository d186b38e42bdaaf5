//! Commands that ask a running program for one thing: `reload`, `restart`, `scale`, `stop`, `signal`, `describe`.

use anyhow::Result;
use clap::{Args, Subcommand};
use multi_node::admin::{Description, Request};
use multi_node::commands::{ReloadReport, Replacement};
use serde_json::Value;

use super::{all_machines, upgrade};
use crate::exit::Usage;
use crate::show::answer;
use crate::target::{Target, Targets};
use crate::{asking, exit, output, signal_name};

#[derive(Debug, Subcommand)]
pub(crate) enum Steer {
    Reload(Reload),
    Upgrade(upgrade::Upgrade),
    Restart(Restart),
    Scale(Scale),
    Stop(Stop),
    Signal(Signal),
    Describe(Describe),
}

impl Steer {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Steer::Reload(command) => command.run(),
            Steer::Upgrade(command) => command.run(),
            Steer::Restart(command) => command.run(),
            Steer::Scale(command) => command.run(),
            Steer::Stop(command) => command.run(),
            Steer::Signal(command) => command.run(),
            Steer::Describe(command) => command.run(),
        }
    }
}

/// Replaces every node by one of the program as it is on disk now, each new one ready before its old one drains.
///
/// Only the switch from old to new nodes is exclusive: a reload that is ordered meanwhile runs right after it, and takes the
/// place of one that waits. It begins while older nodes drain. Where those of two older generations do, it waits for the
/// first of them to end; `status` shows for whom and until when.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node reload --wait
  multi-node reload --all --wait
  multi-node reload --now --wait
  multi-node reload --all-machines
  multi-node reload web --wait --json | jq .took_ms")]
pub(crate) struct Reload {
    /// Returns when the last old node has ended, and prints what became of its connections.
    #[arg(long)]
    wait: bool,
    /// Does not wait for older nodes to drain: kills those of the oldest generation where two of them drain.
    #[arg(long)]
    now: bool,
    /// Reloads each machine that the program is joined to, one after the other, this one first, and waits. Stops at a failure. The others
    /// have to allow it (`Join::remote_commands`).
    #[arg(long, conflicts_with = "now")]
    all_machines: bool,
    #[command(flatten)]
    asking: AskingEach,
}

/// Replaces one slot's node by another of the same program.
#[derive(Args, Debug)]
pub(crate) struct Restart {
    /// The slot, counted from 0.
    #[arg(allow_negative_numbers = true)]
    slot: u16,
    #[command(flatten)]
    asking: Asking,
}

/// Changes the number of nodes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node scale 8
  multi-node scale +1 web
  multi-node scale -2")]
pub(crate) struct Scale {
    /// How many nodes: a number, or how many more (+1) or fewer (-1).
    #[arg(value_name = "N|+N|-N", allow_negative_numbers = true, value_parser = size)]
    size: Size,
    #[command(flatten)]
    asking: AskingEach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Nodes(usize),
    By(i64),
}

fn size(text: &str) -> Result<Size, String> {
    let size = match text.starts_with(['+', '-']) {
        true => text.parse().map(Size::By),
        false => text.parse().map(Size::Nodes),
    };
    size.map_err(|_| "expected a number of nodes, or how many more (+1) or fewer (-1)".to_owned())
}

/// Ends the program after its nodes have finished what they have.
#[derive(Args, Debug)]
pub(crate) struct Stop {
    /// Without waiting for what is in flight.
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    asking: AskingEach,
}

/// Sends a signal to nodes; the master has its own commands.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node signal USR1
  multi-node signal SIGKILL --slot 2")]
pub(crate) struct Signal {
    /// The signal: SIGUSR1, USR1 or 10.
    #[arg(value_parser = signal_name::parse)]
    signal: i32,
    /// The slot whose node is meant; all nodes without it.
    #[arg(long)]
    slot: Option<u16>,
    #[command(flatten)]
    asking: AskingEach,
}

/// Tells a program's options, and the protocol of its control socket.
#[derive(Args, Debug)]
pub(crate) struct Describe {
    #[command(flatten)]
    asking: AskingEach,
}

/// Which program is asked, and how its answer is printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(super) target: Target,
    /// Prints the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Which programs are asked, and how their answers are printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct AskingEach {
    #[command(flatten)]
    pub(super) targets: Targets,
    /// Prints the answer as JSON; with several names or --all a line for each, with its name.
    #[arg(long)]
    pub(super) json: bool,
}

impl Asking {
    #[tokio::main(flavor = "current_thread")]
    async fn ask<T>(self, request: &Request, text: impl FnOnce(&T) -> String) -> Result<()>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        asking::ask(&self.target, request, self.json, text).await
    }
}

impl AskingEach {
    fn ask<T>(self, request: &Request, text: impl Fn(&T) -> String) -> Result<()>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        self.ask_and_judge(request, text, |_| Ok(()))
    }

    #[tokio::main(flavor = "current_thread")]
    async fn ask_and_judge<T>(
        self,
        request: &Request,
        text: impl Fn(&T) -> String,
        judge: impl Fn(&T) -> Result<()>,
    ) -> Result<()>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        asking::ask_each_and_judge(&self.targets, request, self.json, text, judge).await
    }
}

impl Reload {
    fn run(self) -> Result<()> {
        if self.all_machines {
            return self.run_all_machines();
        }
        let request = Request::Reload { wait: self.wait, now: self.now };
        if self.wait {
            return self.asking.ask_and_judge(
                &request,
                |report: &ReloadReport| answer::reloaded(report, output::paint()),
                |report| match report.certificate_errors.is_empty() {
                    true => Ok(()),
                    false => Err(exit::BadCertificates.into()),
                },
            );
        }
        self.asking.ask(&request, answer::reload_begun)
    }
}

impl Reload {
    #[tokio::main(flavor = "current_thread")]
    async fn run_all_machines(self) -> Result<()> {
        let one = self.asking.targets.one();
        let one = one.ok_or_else(|| Usage("`reload --all-machines` reloads one program; name one".to_owned()))?;
        all_machines::reload(&one, self.asking.json).await
    }
}

impl Restart {
    fn run(self) -> Result<()> {
        let request = Request::Restart { slot: self.slot.into() };
        self.asking.ask(&request, |report: &Replacement| answer::replaced(report, output::paint()))
    }
}

impl Scale {
    fn run(self) -> Result<()> {
        let request = match self.size {
            Size::Nodes(nodes) => Request::Scale { nodes: Some(nodes), by: None },
            Size::By(by) => Request::Scale { nodes: None, by: Some(by) },
        };
        self.asking.ask(&request, answer::scaled)
    }
}

impl Stop {
    fn run(self) -> Result<()> {
        self.asking.ask(&Request::Stop { now: self.now }, |_: &Value| "stopped".to_owned())
    }
}

impl Signal {
    fn run(self) -> Result<()> {
        let request = Request::Signal { signal: self.signal.to_string(), slot: self.slot.map(Into::into) };
        self.asking.ask(&request, answer::signalled)
    }
}

impl Describe {
    fn run(self) -> Result<()> {
        self.asking.ask(&Request::Describe, |told: &Description| answer::description(told, output::paint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_differences() {
        let sizes = ["4", "0", "+1", "-2"].map(size);
        assert_eq!(sizes, [Ok(Size::Nodes(4)), Ok(Size::Nodes(0)), Ok(Size::By(1)), Ok(Size::By(-2))]);
        for text in ["", "four", "+", "1.5", "--1", "99999999999999999999"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }
}
