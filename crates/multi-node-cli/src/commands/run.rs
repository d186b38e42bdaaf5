//! `multi-node run`

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, CommandFactory};
use multi_node::Options;
use multi_node_run::Program;

use crate::exit::Usage;
use crate::node_log::{self, Collector, Manner, OwnLog, Writer};
use crate::settings::{Settings, USUAL};
use crate::{config, output};

/// Runs a program as several nodes on one address.
///
/// The listening sockets are the program's descriptors from 3 on. It is told of them as systemd tells it (LISTEN_FDS,
/// LISTEN_PID), by SERVER_STARTER_PORT, and by these words in its arguments and variables: {fd}, {port}, {slot}, {id}, and
/// {node_port}, a free port of 127.0.0.1 for each node.
#[derive(Args, Clone, Debug)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  multi-node run -n 4 --port 8080 -- uvicorn --fd {fd} app:app
  multi-node run -n 4 --port 8080 -- gunicorn app:app
  multi-node run -n 4 node server.js
  multi-node run --bind unix:/run/app.sock --ready notify -- puma --bind-to-activated-sockets only
  multi-node run --port 8080 --ready-http /healthz -- ./server --admin 127.0.0.1:{node_port}

Every option may stand in multi-node.toml by its long name (drain-timeout = \"10s\"), the program too \
(program = [\"gunicorn\", \"app:app\"]). The command line wins. A reload reads the file again: what concerns the program is \
changed by it, what concerns addresses and nodes is not.

Signals: SIGHUP reloads (each new node is ready before its old one is told to end), SIGUSR2 upgrades this command \
too, SIGTERM and Ctrl-C end the program after its nodes, another one a second later or more at once."
)]
pub(crate) struct Run {
    /// The file of settings [default: multi-node.toml, where there is one]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Shows the JavaScript that Node.js programs load as their preload, and ends
    #[arg(long, exclusive = true)]
    print_preload: bool,
    /// Shows all options, in groups, and ends
    #[arg(long, exclusive = true)]
    help_all: bool,
    #[command(flatten)]
    typed: Settings,
}

/// The command's help shows what most people need; `--help-all` the rest.
pub(super) fn with_short_help(run: clap::Command) -> clap::Command {
    let rest = ["print_preload"];
    run.mut_args(|arg| {
        let is_setting = arg.get_help_heading().is_some();
        let is_usual = arg.get_long().is_some_and(|long| USUAL.contains(&long));
        let is_hidden = is_setting && !is_usual || rest.contains(&arg.get_id().as_str());
        arg.hide(is_hidden).help_heading(None)
    })
}

/// All options.
fn help() -> Result<()> {
    let mut cli = crate::Cli::command();
    cli.build();
    let help = cli.find_subcommand_mut("run").map(|run| run.render_long_help().to_string());
    output::bytes(help.unwrap_or_default().as_bytes())
}

/// Serves to the end; with a manner, what nodes write is collected until then.
async fn serve(options: Options, mut program: Program, manner: Option<Manner>, stderr: Writer) -> Result<()> {
    let (sender, outputs) = node_log::queue();
    if manner.is_some() {
        program = program.output(sender);
    }
    let nodes = multi_node_run::run(options, program).await?;
    let collector = manner.map(|manner| Collector::start(manner, outputs, nodes.handle(), stderr)).transpose()?;
    for addr in nodes.local_addrs() {
        tracing::info!("listening on {addr}");
    }
    let ended = nodes.closed().await;
    if let Some(collector) = collector {
        collector.finish().await;
    }
    Ok(ended?)
}

/// Has the command's own log written to standard error.
fn log(json: bool, stderr: Writer) {
    let own = OwnLog::new(stderr, json);
    let log = tracing_subscriber::fmt().with_target(false).with_writer(move || own.clone());
    let log = log.with_ansi(output::colours_wanted() && io::stderr().is_terminal());
    if json { log.json().flatten_event(true).init() } else { log.init() }
}

impl Run {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        if self.print_preload {
            return output::bytes(multi_node_run::preload().as_bytes());
        }
        if self.help_all {
            return help();
        }
        let settings = self.settings()?;
        let stderr = Writer::start(io::stderr())?;
        log(settings.logs_json(), stderr.clone());
        let options = settings.options()?.described_as(settings.in_force(&self.typed));
        let (program, output, in_force) = (settings.program()?, settings.output(), settings);
        let program = program.renew(move || self.program(&in_force).map_err(|error| error.to_string()));
        let ended = serve(options, program, output, stderr.clone()).await;
        node_log::finish(&stderr).await;
        ended
    }

    /// What was typed, and for the rest what the file says now.
    fn settings(&self) -> Result<Settings, Usage> {
        Ok(self.typed.clone().or(config::read(self.config.as_ref())?))
    }

    /// The program to run from now on, and the settings that have changed but do not apply yet.
    fn program(&self, in_force: &Settings) -> Result<Program, Usage> {
        let settings = self.settings()?;
        Ok(settings.program()?.not_applied(settings.not_applied(in_force)))
    }
}
