//! The servers of `tail`: shapes of ours and of hand-made ones, and programs of others.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    process::Process,
    programs,
    variants::{Announcement, Server, Shape, Variant},
};

/// What programs of others are configured by.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/tail");

/// How long nginx may take until it serves.
const WITHIN: Duration = Duration::from_secs(10);

/// Where programs of others are.
#[derive(Debug, clap::Args)]
pub(super) struct Places {
    /// Where scripts/install-servers.sh has put programs of others.
    #[arg(long, default_value = "target/servers")]
    servers: PathBuf,
    /// The Node.js package, built by `node build.mjs --release`.
    #[arg(long, default_value = "crates/multi-node-napi")]
    package: PathBuf,
}

/// What is measured.
pub(super) enum Subject {
    Shape(Shape),
    /// nginx in front of axum: a worker and a thread for each core. The folder of servers.
    Nginx(PathBuf),
    /// Workers of node:cluster.
    Cluster,
    /// Nodes of the Node.js package, which is in this folder.
    Package(PathBuf),
}

/// A server, which ends when this is dropped.
pub(super) enum Running {
    Ours(Server),
    Other {
        address: SocketAddr,
        process: Option<Process>,
        /// What stands behind it.
        _behind: Option<Server>,
        _folder: Option<TempDir>,
    },
}

impl Subject {
    /// The library in its default shape and in others, what a program may be instead, and the programs of others that are installed; those
    /// that are not are said. Only those whose names have one of these parts, if there are any.
    pub(super) fn all(cores: usize, places: &Places, only: &[String]) -> Vec<Subject> {
        let shape = |variant, nodes, threads| Subject::Shape(Shape { variant, nodes, threads });
        let mut all = vec![
            shape(Variant::MultiNode, cores, 1),
            shape(Variant::MultiNode, 2 * cores, 1),
            shape(Variant::MultiNode, cores, 2),
            shape(Variant::MultiNode, 1, cores),
            shape(Variant::Axum, cores, 1),
            shape(Variant::Axum, 2 * cores, 1),
            shape(Variant::Reuseport, cores, 1),
            Subject::Nginx(places.servers.clone()),
            Subject::Cluster,
            Subject::Package(places.package.clone()),
        ];
        all.retain(|subject| is_wanted(&subject.name(cores), only) && subject.is_installed());
        all
    }

    /// With this number of processes, where it has one for each core.
    pub(super) fn name(&self, cores: usize) -> String {
        match self {
            Subject::Shape(shape) => shape.name(),
            Subject::Nginx(_) => format!("nginx before axum, {cores} workers"),
            Subject::Cluster => format!("node:cluster, {cores} workers"),
            Subject::Package(_) => format!("Node.js package, {cores} nodes"),
        }
    }

    fn is_installed(&self) -> bool {
        match self {
            Subject::Shape(_) => true,
            Subject::Nginx(servers) => programs::find(servers, "nginx").is_some(),
            Subject::Cluster => programs::has_node(),
            Subject::Package(folder) => programs::package(folder).is_some(),
        }
    }

    /// Starts it and waits until all of it serves.
    pub(super) fn start(&self, cores: usize) -> Result<Running> {
        match self {
            Subject::Shape(shape) => shape.start().map(Running::Ours),
            Subject::Nginx(servers) => nginx(servers, cores),
            Subject::Cluster => node("cluster", Path::new(""), cores),
            Subject::Package(folder) => node("package", &folder.canonicalize()?, cores),
        }
    }
}

/// Whether a name has one of these parts; where there are none, each is wanted.
fn is_wanted(name: &str, parts: &[String]) -> bool {
    parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()))
}

fn nginx(servers: &Path, cores: usize) -> Result<Running> {
    let behind = Shape { variant: Variant::Axum, nodes: cores, threads: 1 }.start()?;
    let folder = tempfile::Builder::new().prefix("tail-").tempdir()?;
    let port = programs::free_ports(1)?.pop().context("a free port")?;
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let text = fs::read_to_string(Path::new(FOLDER).join("nginx.conf"))?
        .replace("@NODES@", &cores.to_string())
        .replace("@FOLDER@", &folder.path().display().to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@APP@", &behind.address().port().to_string());
    let (configuration, log) = (folder.path().join("nginx.conf"), folder.path().join("error.log"));
    fs::write(&configuration, text)?;
    let mut command = programs::find(servers, "nginx").context("nginx")?;
    command.arg("-e").arg(&log).arg("-c").arg(&configuration);
    let mut process = Process::run(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
    let limit = Instant::now() + WITHIN;
    while !answers(address) {
        let said = || fs::read_to_string(&log).unwrap_or_default();
        ensure!(process.is_running()? && Instant::now() < limit, "nginx does not serve: {}", said());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(Running::Other { address, process: Some(process), _behind: Some(behind), _folder: Some(folder) })
}

fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(WITHIN))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

fn node(kind: &str, package: &Path, workers: usize) -> Result<Running> {
    let port = programs::free_ports(1)?.pop().context("a free port")?;
    let mut command = Command::new("node");
    command.arg(Path::new(FOLDER).join("server.js")).args([kind, &workers.to_string(), &port.to_string()]);
    command.env("PACKAGE", package);
    let mut process = Process::run(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let address = process.answer::<Announcement>()?.address();
    Ok(Running::Other { address, process: Some(process), _behind: None, _folder: None })
}

impl Running {
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Running::Ours(server) => server.address(),
            Running::Other { address, .. } => *address,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its workers outlive one that is killed.
        if let Running::Other { process, .. } = self {
            process.take().into_iter().for_each(Process::end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_chosen_by_parts_of_their_names() {
        let parts = ["axum".to_owned(), "cluster".to_owned()];
        let wanted = |name| is_wanted(name, &parts);
        assert!(wanted("nginx before axum, 2 workers") && wanted("node:cluster, 2 workers"));
        assert!(!wanted("multi-node, 2 processes") && is_wanted("multi-node, 2 processes", &[]));
    }
}
