//! `multi-node run`

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use multi_node::Options;
use multi_node::program::{self, Program};

use crate::{signal_name, stage};

/// Runs a program as several nodes on one address.
///
/// The listening sockets are the program's descriptors from 3 on. It is told of them as systemd tells it (LISTEN_FDS,
/// LISTEN_PID), by SERVER_STARTER_PORT, and by these words in its arguments and variables: {fd}, {port}, {slot}, {id}, and
/// {node_port}, a free port of 127.0.0.1 for each node.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multi-node run -n 4 --port 8080 -- uvicorn --fd {fd} app:app
  multi-node run -n 4 --port 8080 -- gunicorn app:app
  multi-node run --bind unix:/run/app.sock -- puma

Signals: SIGHUP reloads (each new node is ready before its old one is told to end), SIGTERM and Ctrl-C end the program
after its nodes, a second one at once.")]
pub(crate) struct Run {
    /// How many nodes: a number, or `auto` for one for each available core.
    #[arg(short, long, default_value = "auto", value_parser = nodes)]
    nodes: Nodes,
    /// A TCP port of all interfaces. Neither this nor --bind: the nodes are given no socket.
    #[arg(short, long)]
    port: Option<u16>,
    /// An address: 127.0.0.1:8080, [::1]:8080, :8080, or unix:/run/app.sock. May be given several times.
    #[arg(short, long, value_name = "ADDR")]
    bind: Vec<String>,
    /// The signal that tells a node to finish and end.
    #[arg(long, default_value = "SIGTERM", value_name = "SIGNAL", value_parser = signal_name::parse)]
    stop_signal: i32,
    /// The program and its arguments.
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// `None`: one for each core.
type Nodes = Option<usize>;

fn nodes(text: &str) -> Result<Nodes, String> {
    match text {
        "auto" => Ok(None),
        number => number.parse().map(Some).map_err(|_| "expected a number of nodes, or `auto`".to_owned()),
    }
}

impl Run {
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run(self) -> Result<()> {
        tracing_subscriber::fmt().with_target(false).with_writer(std::io::stderr).init();
        let nodes = program::run(self.options(), self.program()).await?;
        for addr in nodes.local_addrs() {
            tracing::info!("listening on {addr}");
        }
        nodes.closed().await?;
        Ok(())
    }

    fn options(&self) -> Options {
        let port = self.port.map(|port| format!("0.0.0.0:{port}"));
        let options = Options::new().args([stage::NAME]).addresses(port.iter().chain(&self.bind));
        match self.nodes {
            Some(nodes) => options.nodes(nodes),
            None => options,
        }
    }

    fn program(&self) -> Program {
        let (program, args) = self.program.split_first().expect("clap requires one");
        Program::new(program).args(args).stop_signal(self.stop_signal).ready_after(Duration::from_secs(2))
    }
}
