//! The command `multi-node`: arguments, exit codes and printing over the library, which does the supervising.

mod asking;
mod commands;
mod config;
#[cfg(test)]
mod deploy_tests;
mod exec_shim;
mod exit;
mod migrate;
mod node_log;
mod npm;
mod output;
mod probe;
mod script;
mod settings;
mod show;
mod signal_name;
mod target;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use commands::Command;

/// Runs a server program as several processes on one address: restarted when they die, reloaded without a refused
/// connection.
#[derive(Debug, Parser)]
#[command(name = "multi-node", version, about, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  multi-node run -n 4 --port 8080 -- uvicorn --fd {fd} app:app
  multi-node run -n 4 --port 8080 -- gunicorn app:app
  multi-node run --help";

const LONG_EXAMPLES: &str = "\
Examples:
  Four nodes of a Python server, which takes the socket by its number:
    multi-node run -n 4 --port 8080 -- uvicorn --fd {fd} app:app

  One that takes it as systemd hands it:
    multi-node run -n 4 --port 8080 -- gunicorn app:app

  One of Node.js, unmodified, on the port that it listens on:
    multi-node run -n 4 node server.js

  To see and steer what is run, from another terminal:
    multi-node status; multi-node reload --wait; multi-node logs -f

Exit codes:
  0    done
  1    it failed
  2    wrong arguments or configuration
  3    refused: another command is under way, or what was asked is not allowed
  4    there is no such instance, or no such slot
  5    the command of `probe` failed
  126  the program cannot be executed
  127  the program is not found";

/// The command line. Mistakes and help end the process.
fn typed() -> Cli {
    let matches = Command::with_short_help(Cli::command()).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn main() -> ExitCode {
    let ran = if exec_shim::is_asked_for() { Err(exec_shim::run()) } else { typed().command.run() };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Enough>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("multi-node: {}", exit::message(&error));
            exit::code(&error)
        }
    }
}
