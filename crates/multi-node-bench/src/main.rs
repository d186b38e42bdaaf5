//! multi-node and its peers, side by side in one run.

mod mesh;
mod table;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Two processes and one stream: bytes, round trips and typed messages.
    Mesh(mesh::Options),
    /// The other end of a `mesh` measurement, with the stream on standard input.
    #[command(hide = true)]
    MeshPeer {
        /// What to do with the stream.
        task: mesh::Task,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Mesh(options) => mesh::run(&options),
        Command::MeshPeer { task } => mesh::peer::run(task),
    }
}
