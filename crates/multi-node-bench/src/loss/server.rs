//! The server of `loss` that links the library.

use std::{
    fs,
    future::ready,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use axum::Router;
use multi_node::servers::Http;
use multi_node::{Handle, Role, http_with, listen, role};
use multi_node_bench::routes;
use tokio::runtime::Builder;

use crate::{
    certificate, process,
    variants::multi_node::{options, until_end},
};

/// How the program is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Processes; 0 serves in one, without the library's nodes.
    #[arg(long)]
    nodes: usize,
    #[arg(long)]
    port: u16,
    /// The name of its control socket.
    #[arg(long)]
    name: Option<String>,
    /// The folder with `cert.pem` and `key.pem`, to serve HTTPS.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// The file of its release: a number, if it is a sound one.
    release: PathBuf,
}

/// Serves until it is asked to end.
pub(crate) fn serve(start: &Start) -> Result<()> {
    // Nodes end with their master, by draining.
    if role() == Role::Master {
        process::die_with_parent()?;
    }
    let options = options(start.nodes, start.port).control(start.name.as_deref());
    let release = start.release.clone();
    let factory = move |_: Handle| ready(app(&release));
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let server = start.tls.iter().map(|folder| certificate::files(folder)).fold(http_with(factory), Http::tls);
        let nodes = listen(options, server).await?;
        until_end(&nodes).await
    })
}

fn app(release: &Path) -> Result<Router> {
    let number: usize = fs::read_to_string(release)?.trim().parse().context("no database")?;
    Ok(routes::serving().fallback(async move || format!("{number}\n")))
}
