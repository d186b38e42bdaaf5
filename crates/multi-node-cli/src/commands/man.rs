//! `multi-node man`

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};

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
            Some(name) => cli.find_subcommand(&name).cloned().with_context(|| format!("there is no command {name}"))?,
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        io::stdout().write_all(&text)?;
        Ok(())
    }
}
