//! `multi-node man`

use anyhow::Result;
use clap::{Args, CommandFactory};

use crate::exit::Usage;
use crate::output;

/// Prints the manual page, or that of one command.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node man | man -l -
  multi-node man run > multi-node-run.1")]
pub(crate) struct Man {
    /// A command, such as `run`.
    command: Option<String>,
}

impl Man {
    pub(super) fn run(self) -> Result<()> {
        let mut cli = crate::Cli::command();
        cli.build();
        let page = match self.command {
            None => cli,
            Some(name) => cli
                .find_subcommand(&name)
                .cloned()
                .ok_or_else(|| Usage(format!("there is no command `{name}`; `multi-node --help` lists them")))?,
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        output::bytes(&text)
    }
}
