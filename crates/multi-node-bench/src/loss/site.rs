//! A server under test: its folder, its address, its process, and how it is deployed.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use multi_node_probe::{Target, Trust};
use tempfile::TempDir;

use super::{
    Options,
    rows::{App, FOLDER, Parts, Row},
};
use crate::certificate;
use crate::process::Process;
use crate::programs::free_ports;

/// How long a server may take until it serves.
const WITHIN: Duration = Duration::from_secs(60);
/// How long a deploy may take. A broken one is looked at for as long as its window is.
const DEPLOYED_WITHIN: Duration = Duration::from_secs(40);
/// Fresh connections that the new release has to answer, one after the other, before it is taken to serve alone.
const ANSWERS: usize = 20;
/// Longer than any of these answers takes.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Site<'a> {
    row: &'a Row,
    app: &'a App,
    folder: TempDir,
    port: u16,
    release: usize,
    variables: Vec<(&'static str, String)>,
    process: Process,
    log: File,
}

/// What came of a deploy.
#[derive(Debug)]
pub(super) struct Deployed {
    /// Until the new release served alone, as far as can be seen from outside.
    pub(super) took: Duration,
    /// The command that deploys has failed, or the new release does not serve alone.
    pub(super) has_failed: bool,
}

impl Site<'_> {
    /// Starts the server, and waits until it serves.
    pub(super) fn start<'a>(row: &'a Row, app: &'a App, parts: &Parts, options: &Options) -> Result<Site<'a>> {
        let folder = tempfile::Builder::new().prefix("loss-").tempdir()?;
        let ports = free_ports(4)?;
        let path = |path: &Path| path.display().to_string();
        let variables = vec![
            ("BENCH", path(&parts.bench)),
            ("COMMAND", path(&parts.command)),
            ("SERVERS", path(&parts.servers)),
            ("PACKAGE", path(&parts.package)),
            ("FOLDER", path(folder.path())),
            ("NODES", options.nodes.to_string()),
            ("NAME", format!("loss-{}-{}", std::process::id(), ports[0])),
            ("PORT", ports[0].to_string()),
            // For what stands behind a proxy, and for its administration.
            ("FIRST", ports[1].to_string()),
            ("SECOND", ports[2].to_string()),
            ("ADMIN", ports[3].to_string()),
            ("NGINX_TLS", nginx_tls(row, folder.path())),
            ("HAPROXY_TLS", haproxy_tls(row, folder.path())),
        ];
        if row.tls {
            certificate::write(folder.path())?;
        }
        let log = File::create(options.results.join(format!("{}.log", file_name(&row.name))))?;
        let files = Files { folder: folder.path(), variables: &variables };
        row.files.iter().try_for_each(|name| files.write(name, "", 1))?;
        files.write(&app.file, "", 1)?;
        let process = Process::run(&mut bash(&row.start, folder.path(), &variables, &log)?)?;
        let mut site = Site { row, app, port: ports[0], release: 1, process, log, folder, variables };
        site.serves_at_first()?;
        Ok(site)
    }

    /// Where clients connect. None verifies the certificate.
    pub(super) fn target(&self) -> Result<Target> {
        match self.row.tls {
            true => Target::secured(self.address(), "localhost", Trust::Anybody).map_err(|error| anyhow!("{error}")),
            false => Ok(Target::plain(self.address())),
        }
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Deploys, and waits until the new release serves alone; a broken one is deployed and no more.
    pub(super) fn deploy(&mut self, is_sound: bool) -> Result<Deployed> {
        self.release += 1;
        let begun = Instant::now();
        let files = Files { folder: self.folder.path(), variables: &self.variables };
        files.write(&self.app.file, if is_sound { "" } else { &self.app.broken }, self.release)?;
        let has_failed = !self.run(&self.row.deploy)? || is_sound && !self.serves_alone(begun + DEPLOYED_WITHIN);
        Ok(Deployed { took: begun.elapsed(), has_failed })
    }

    fn serves_alone(&self, limit: Instant) -> bool {
        while !(0..ANSWERS).all(|_| self.answers(self.release)) {
            if Instant::now() > limit {
                return false;
            }
            thread::sleep(Duration::from_millis(50));
        }
        true
    }

    /// Ends it; of one of ours that has to be in good order.
    pub(super) fn stop(mut self) -> Result<()> {
        self.run(&self.row.stop)?;
        if !self.row.ours {
            self.process.end();
            return Ok(());
        }
        self.process.signal(rustix::process::Signal::TERM)?;
        let code = self.process.exit(WITHIN)?;
        ensure!(code == Some(0), "it ended with {code:?}");
        Ok(())
    }

    fn serves_at_first(&mut self) -> Result<()> {
        let limit = Instant::now() + WITHIN;
        while !self.answers(1) {
            ensure!(Instant::now() < limit, "it does not serve within {WITHIN:?}");
            if !self.process.is_running()? {
                bail!("it has ended; its log says why");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether this release answers a fresh connection.
    fn answers(&self, release: usize) -> bool {
        let get = if self.row.tls { get_by_tls } else { get };
        get(self.address(), "/release").is_ok_and(|body| body == release.to_string())
    }

    /// Runs a line, and returns whether it has succeeded.
    fn run(&self, line: &str) -> Result<bool> {
        let mut command = bash(line, self.folder.path(), &self.variables, &self.log)?;
        Ok(command.env("PID", self.process.pid().to_string()).status()?.success())
    }
}

/// What a server's folder has.
struct Files<'a> {
    folder: &'a Path,
    variables: &'a [(&'static str, String)],
}

impl Files<'_> {
    /// Writes a file in one step, so that nobody reads half of it, with the variables filled in.
    fn write(&self, name: &str, in_front: &str, release: usize) -> Result<()> {
        let text = fs::read_to_string(Path::new(FOLDER).join(name)).with_context(|| name.to_owned())?;
        let release = ("RELEASE", release.to_string());
        let filled = self
            .variables
            .iter()
            .chain([&release])
            .fold(text, |text, (variable, value)| text.replace(&format!("@{variable}@"), value));
        let new = self.folder.join(".new");
        fs::write(&new, format!("{in_front}{filled}"))?;
        Ok(fs::rename(new, self.folder.join(name))?)
    }
}

fn bash(line: &str, folder: &Path, variables: &[(&'static str, String)], log: &File) -> Result<Command> {
    let mut command = Command::new("bash");
    let servers = variables.iter().find(|(name, _)| *name == "SERVERS").map(|(_, path)| path.as_str());
    let servers = servers.unwrap_or_default();
    command
        .args(["-c", line])
        .current_dir(folder)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env("PYTHONPATH", format!("{servers}/python:{}", folder.display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RUST_BACKTRACE", "0")
        .env("NODE_PATH", format!("{servers}/node/node_modules"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?);
    Ok(command)
}

/// The body of an answer, without white space around it, on a connection of its own.
fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok(body.trim().to_owned())
}

/// The same over TLS.
fn get_by_tls(address: SocketAddr, path: &str) -> Result<String> {
    let patience = PATIENCE.as_secs().to_string();
    let url = format!("https://{address}{path}");
    let output = Command::new("curl").args(["--silent", "--insecure", "--max-time", &patience, &url]).output()?;
    ensure!(output.status.success(), "curl: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What makes nginx serve TLS, behind its address.
fn nginx_tls(row: &Row, folder: &Path) -> String {
    let folder = folder.display();
    let session = "ssl_session_cache shared:sessions:1m";
    let files = format!("ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; {session}");
    if row.tls { files } else { String::new() }
}

/// What makes HAProxy do so.
fn haproxy_tls(row: &Row, folder: &Path) -> String {
    if row.tls { format!("ssl crt {}/both.pem alpn http/1.1", folder.display()) } else { String::new() }
}

fn file_name(name: &str) -> String {
    name.chars().map(|at| if at.is_ascii_alphanumeric() { at } else { '-' }).collect()
}
