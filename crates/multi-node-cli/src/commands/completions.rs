//! `multi-node completions`

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::output;

/// Prints a completion script for a shell.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node completions bash > ~/.local/share/bash-completion/completions/multi-node
  multi-node completions zsh > ~/.zfunc/_multi-node
  multi-node completions fish > ~/.config/fish/completions/multi-node.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<()> {
        let mut cli = crate::Cli::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "multi-node", &mut script);
        output::bytes(&script)
    }
}
