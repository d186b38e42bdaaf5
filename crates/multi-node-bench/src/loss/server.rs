//! The program whose deploys, upgrades, recycles and kills are counted: a server as a user of the library writes it.

use std::{env, net::Ipv4Addr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use axum::{Router, routing::get};
use multi_node::{Handle, Options, Role, http_with, listen, role};
use multi_node_bench::routes;
use tokio::runtime::Builder;

use super::orders;
use crate::{process, variants::multi_node::until_end};

/// A release folder with a file of this name is one whose program does not come up.
pub(super) const BROKEN: &str = "broken";
/// Until a drained node is killed. A slow request takes half a second, a large body as long as its client does.
const DRAIN: Duration = Duration::from_secs(10);
/// Nodes are killed on purpose and are to come back at once, so their slots are never taken for being in a crash loop.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(20));
const CRASH_LOOP: (usize, Duration) = (1000, Duration::from_secs(1));

/// How the program is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Processes; 0 serves in one, without the library's nodes.
    #[arg(long)]
    nodes: usize,
    /// The socket on which the master takes orders.
    #[arg(long)]
    orders: PathBuf,
    /// Requests after which a node is recycled.
    #[arg(long)]
    max_requests: Option<u64>,
}

impl Start {
    fn options(&self) -> Options {
        let options = Options::new()
            .host(Ipv4Addr::LOCALHOST.to_string())
            .port(0)
            .nodes(self.nodes)
            .drain_timeout(DRAIN)
            .backoff(BACKOFF.0, BACKOFF.1)
            .crash_loop(CRASH_LOOP.0, CRASH_LOOP.1);
        match self.max_requests {
            Some(count) => options.max_requests(count),
            None => options,
        }
    }
}

/// Serves until it is told to end.
pub(crate) fn serve(start: &Start) -> Result<()> {
    // Nodes end with their master, by draining.
    if role() == Role::Master {
        process::die_with_parent()?;
    }
    Builder::new_current_thread().enable_all().build()?.block_on(run(start))
}

async fn run(start: &Start) -> Result<()> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let mut nodes = listen(start.options(), http_with(async |_: Handle| app())).await?;
    if nodes.is_master() {
        tokio::spawn(orders::take(start.orders.clone(), nodes.handle()));
    }
    while nodes.next_peer().await.is_some() {}
    until_end(&nodes).await
}

/// The routes of the release that runs, if it is a sound one.
fn app() -> Result<Router> {
    let program = env::current_exe()?;
    let folder = program.parent().context("a program stands in a folder")?;
    let release = folder.file_name().context("a release has a name")?.to_string_lossy().into_owned();
    if folder.join(BROKEN).exists() {
        bail!("release {release} does not reach its database");
    }
    Ok(routes::serving().route("/release", get(async move || format!("{release}\n"))))
}
