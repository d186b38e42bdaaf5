//! Programs of others, which comparisons start.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

/// A command that starts the program: what scripts/install-servers.sh has put into the folder, or what is in PATH. `None` where it is in
/// neither, which is said.
pub(crate) fn find(folder: &Path, program: &str) -> Option<Command> {
    let with = folder.join(program).join("with");
    if with.exists() {
        let mut command = Command::new(with);
        command.arg(program);
        return Some(command);
    }
    if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok() {
        return Some(Command::new(program));
    }
    eprintln!("skipped: {program} is neither in {} nor in PATH", folder.display());
    None
}

/// The folder of the Node.js package, if its addon is built and there is a Node.js; what is not there is said.
pub(crate) fn package(folder: &Path) -> Option<PathBuf> {
    let is_addon = |path: &Path| path.extension() == Some("node".as_ref());
    let folder = folder.canonicalize().ok()?;
    let is_built = std::fs::read_dir(&folder).ok()?.flatten().any(|entry| is_addon(&entry.path()));
    if !is_built {
        eprintln!(
            "skipped: what needs the Node.js package; `node build.mjs --release` in {} builds it",
            folder.display()
        );
    }
    (is_built && has_node()).then_some(folder)
}

/// Whether there is a Node.js; that there is none is said.
pub(crate) fn has_node() -> bool {
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_node {
        eprintln!("skipped: what needs Node.js: node is not in PATH");
    }
    has_node
}

/// Ports of the loopback address below those that the system gives to clients, whose connections would take them at any time. They are
/// bound at a time, so that they differ.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let first = u16::try_from(std::process::id() % 22_000)?;
    let tried = (0..22_000).map(|next| 10_000 + (first + next) % 22_000);
    let bound: Vec<_> =
        tried.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).take(count).collect();
    bound.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
