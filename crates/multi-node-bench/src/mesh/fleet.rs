//! The same two processes as master and node of the library, with its stream between them.

use anyhow::{Context, Result};
use multi_node::{Handle, Listener, listen, raw};

use crate::{
    process,
    variants::multi_node::{options, until_end},
};

use super::{Task, runtime};

/// In the master: sends for so long. In its node: receives, and writes the finding to standard output.
pub(crate) fn run(task: Task, seconds: f64) -> Result<()> {
    process::die_with_parent()?;
    runtime()?.block_on(async {
        let mut nodes = listen(options(1, 0), raw(idle)).await?;
        let peer = nodes.next_peer().await.context("the other process")?;
        if nodes.is_master() {
            task.send(peer, seconds).await?;
        } else {
            println!("{}", serde_json::to_string(&task.receive(peer).await?)?);
        }
        until_end(&nodes).await
    })
}

/// Nobody connects.
async fn idle(listener: Listener, _: Handle) -> std::io::Result<()> {
    listener.draining().await;
    Ok(())
}
