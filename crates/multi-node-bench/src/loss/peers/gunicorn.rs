//! gunicorn with threaded workers, which keep connections: SIGHUP.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use anyhow::Result;
use rustix::process::Signal;

use super::{Peer, Site, installed};
use crate::{loss::Options, process::Process};

pub(super) struct Gunicorn {
    site: Site,
    process: Option<Process>,
}

pub(super) fn start(site: Site, options: &Options) -> Result<Option<Gunicorn>> {
    let script = installed(options, "gunicorn/bin/gunicorn");
    let folder = installed(options, "gunicorn/gunicorn");
    let mut command = match (&script, &folder) {
        (Some(script), _) => Command::new(script),
        // Where pip has put the package alone.
        (None, Some(_)) => {
            let mut command = Command::new("python3");
            command.args(["-m", "gunicorn"]).env("PYTHONPATH", std::path::absolute(options.peers.join("gunicorn"))?);
            command
        }
        (None, None) => return Ok(None),
    };
    let mut peer = Gunicorn { site, process: None };
    peer.write(1, true)?;
    command
        .args(["app:app", "--worker-class", "gthread", "--threads", "32", "--keep-alive", "75"])
        .arg("--workers")
        .arg(peer.site.nodes.to_string())
        .arg("--bind")
        .arg(peer.site.address().to_string())
        .arg("--chdir")
        .arg(peer.site.path())
        .stdin(Stdio::null())
        .stderr(File::create(options.results.join("gunicorn.log"))?);
    peer.process = Some(Process::run(&mut command)?);
    Ok(Some(peer))
}

impl Peer for Gunicorn {
    fn site(&self) -> &Site {
        &self.site
    }

    fn write(&self, release: usize, sound: bool) -> Result<()> {
        let broken = if sound { "" } else { "raise RuntimeError('no database')\n" };
        let text = format!("{broken}{}", include_str!("../../../peers/app.py"));
        self.site.write("app.py", &text, &[("@RELEASE@", &release.to_string())])
    }

    fn reload(&self) -> Result<()> {
        self.process.iter().try_for_each(|process| process.signal(Signal::HUP))
    }
}

impl Drop for Gunicorn {
    fn drop(&mut self) {
        self.process.take().into_iter().for_each(Process::end);
    }
}
