//! A primary of node:cluster as node's documentation has it.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use anyhow::Result;
use rustix::process::Signal;

use super::{Peer, Site};
use crate::{loss::Options, process::Process};

pub(super) struct NodeCluster {
    site: Site,
    process: Option<Process>,
}

pub(super) fn start(site: Site, options: &Options) -> Result<Option<NodeCluster>> {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let mut peer = NodeCluster { site, process: None };
    peer.write(1, true)?;
    peer.site.write("cluster.js", include_str!("../../../peers/cluster.js"), &[])?;
    let mut command = Command::new("node");
    command
        .current_dir(peer.site.path())
        .env("PORT", peer.site.port.to_string())
        .args(["cluster.js", "./worker.js", &peer.site.nodes.to_string()])
        .stdin(Stdio::null())
        .stderr(File::create(options.results.join("node-cluster.log"))?);
    peer.process = Some(Process::run(&mut command)?);
    Ok(Some(peer))
}

impl Peer for NodeCluster {
    fn site(&self) -> &Site {
        &self.site
    }

    fn write(&self, release: usize, sound: bool) -> Result<()> {
        write_worker(&self.site, release, sound)
    }

    fn reload(&self) -> Result<()> {
        self.process.iter().try_for_each(|process| process.signal(Signal::HUP))
    }
}

impl Drop for NodeCluster {
    fn drop(&mut self) {
        self.process.take().into_iter().for_each(Process::end);
    }
}

/// The application, which PM2 runs too.
pub(super) fn write_worker(site: &Site, release: usize, sound: bool) -> Result<()> {
    let broken = if sound { "" } else { "throw new Error(\"no database\");\n" };
    let text = format!("{broken}{}", include_str!("../../../peers/worker.js"));
    site.write("worker.js", &text, &[("@RELEASE@", &release.to_string())])
}
