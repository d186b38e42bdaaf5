//! Programs of others, which comparisons start.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
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

/// Ports of the loopback address below those that the system gives to clients, whose connections would take them at any time. They are
/// bound at a time, so that they differ.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let first = u16::try_from(std::process::id() % 22_000)?;
    let tried = (0..22_000).map(|next| 10_000 + (first + next) % 22_000);
    let bound: Vec<_> =
        tried.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).take(count).collect();
    bound.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
