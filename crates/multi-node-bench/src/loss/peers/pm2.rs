//! PM2's cluster mode with a graceful start: `pm2 reload`.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use super::{Peer, Site, installed, node_cluster::write_worker};
use crate::loss::Options;

pub(super) struct Pm2 {
    site: Site,
    pm2: PathBuf,
}

pub(super) fn start(site: Site, options: &Options) -> Result<Option<Pm2>> {
    let Some(pm2) = installed(options, "node_modules/.bin/pm2") else { return Ok(None) };
    let peer = Pm2 { site, pm2 };
    peer.write(1, true)?;
    peer.site.write("ecosystem.config.js", include_str!("../../../peers/ecosystem.config.js"), &[])?;
    peer.order(&["start", "ecosystem.config.js"])?;
    Ok(Some(peer))
}

impl Pm2 {
    fn order(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.pm2);
        command.current_dir(self.site.path()).env("PM2_HOME", self.site.path().join("home"));
        let output = command.env("PORT", self.site.port.to_string()).args(args).output()?;
        match output.status.success() {
            true => Ok(()),
            false => bail!("{}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()),
        }
    }
}

impl Peer for Pm2 {
    fn site(&self) -> &Site {
        &self.site
    }

    fn write(&self, release: usize, sound: bool) -> Result<()> {
        write_worker(&self.site, release, sound)
    }

    fn reload(&self) -> Result<()> {
        self.order(&["reload", "app"])
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        // Its daemon is nobody's child.
        let _ = self.order(&["kill"]);
    }
}
