//! nginx as a proxy in front of one process of ours: `nginx -s reload`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use super::{Peer, Site, installed};
use crate::{
    loss::{Options, program::Program},
    process::Process,
};

pub(super) struct Nginx {
    site: Site,
    nginx: PathBuf,
    upstream: Program,
    process: Option<Process>,
}

pub(super) fn start(site: Site, options: &Options) -> Result<Option<Nginx>> {
    let Some(nginx) = installed(options, "debian/usr/sbin/nginx") else { return Ok(None) };
    let upstream = Program::start(&["--nodes=0".to_owned()], &options.results.join("nginx-upstream.log"))?;
    let mut peer = Nginx { site, nginx, upstream, process: None };
    peer.write(1, true)?;
    peer.process = Some(Process::run(peer.command().stdin(Stdio::null()))?);
    Ok(Some(peer))
}

impl Nginx {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.nginx);
        command.arg("-p").arg(self.site.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
        command
    }
}

impl Peer for Nginx {
    fn site(&self) -> &Site {
        &self.site
    }

    fn write(&self, release: usize, sound: bool) -> Result<()> {
        let upstream = self.upstream.address.to_string();
        let broken = if sound { "" } else { "no_such_directive;\n" };
        let text = format!("{broken}{}", include_str!("../../../peers/nginx.conf"));
        self.site.write("nginx.conf", &text, &[("@UPSTREAM@", &upstream), ("@RELEASE@", &release.to_string())])
    }

    fn reload(&self) -> Result<()> {
        let output = self.command().args(["-s", "reload"]).output()?;
        match output.status.success() {
            true => Ok(()),
            false => bail!("{}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()),
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A master that is asked ends its workers too; by `-s stop` it would read the broken configuration first.
        self.process.take().into_iter().for_each(Process::end);
    }
}
