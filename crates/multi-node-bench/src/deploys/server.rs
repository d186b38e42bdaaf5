//! A server that links the library, as small as those it is measured beside.

use std::{
    fs,
    future::ready,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use axum::{Router, routing::get};
use multi_node::{Handle, Options, Role, http_with, listen, role};
use tokio::runtime::Builder;

use crate::{process, variants::multi_node::until_end};

/// How the program is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    #[arg(long)]
    nodes: usize,
    #[arg(long)]
    port: u16,
    /// The name of its control socket.
    #[arg(long)]
    name: String,
    /// The file of its release, which tells whether that is a sound one.
    release: PathBuf,
}

/// Serves until it is told to end.
pub(crate) fn serve(start: &Start) -> Result<()> {
    // Nodes end with their master, by draining.
    if role() == Role::Master {
        process::die_with_parent()?;
    }
    let options = Options::new().host("127.0.0.1").port(start.port).nodes(start.nodes).control(&start.name);
    let release = start.release.clone();
    let factory = move |_: Handle| ready(app(&release));
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let nodes = listen(options, http_with(factory)).await?;
        until_end(&nodes).await
    })
}

fn app(release: &Path) -> Result<Router> {
    ensure!(fs::read_to_string(release)? == "sound", "no database");
    Ok(Router::new().route("/", get(async || "hello\n")))
}
