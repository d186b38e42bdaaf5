//! Which commands there are.

use anyhow::Result;
use clap::Subcommand;

use super::{completions, lock, look, man, migrate, probe, run, steer};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<run::Run>),
    List(look::List),
    Status(look::Status),
    Top(look::Top),
    Logs(look::Logs),
    #[command(flatten)]
    Steer(steer::Steer),
    Lock(lock::Lock),
    Migrate(migrate::Migrate),
    Probe(Box<probe::Probe>),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Hides from the help of each subcommand what it shows by `--help-all` only.
    pub(crate) fn with_short_help(cli: clap::Command) -> clap::Command {
        cli.mut_subcommand("run", run::with_short_help)
    }

    pub(crate) fn run(self) -> Result<()> {
        match self {
            Command::Run(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Top(command) => command.run(),
            Command::Logs(command) => command.run(),
            Command::Steer(command) => command.run(),
            Command::Lock(command) => command.run(),
            Command::Migrate(command) => command.run(),
            Command::Probe(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    }
}
