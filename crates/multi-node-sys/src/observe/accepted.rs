//! Connections that a process has accepted.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::process::PidfdGetfdFlags;

use super::open::Open;

/// Not more sockets of a process than these are looked at.
const MOST: usize = 64;

/// Where a socket is bound.
#[derive(Debug, PartialEq, Eq)]
enum Local {
    Port(u16),
    Path(PathBuf),
}

/// Whether the process has a connection that came by one of these sockets: its own end has the same port, or path.
pub(super) fn has_any(pid: u32, open: &Open, sockets: &BTreeSet<u64>) -> bool {
    let Ok(process) = crate::process::open(pid) else { return false };
    // A copy (pidfd_getfd(2)), which is closed at once.
    let copy = |number: u32| {
        let number = i32::try_from(number).ok()?;
        rustix::process::pidfd_getfd(process.as_fd(), number, PidfdGetfdFlags::empty()).ok()
    };
    let (listening, others): (Vec<_>, Vec<_>) = open.numbered().partition(|(_, inode)| sockets.contains(inode));
    let own: Vec<Local> = listening.iter().filter_map(|(number, _)| Some(local(copy(*number)?)?.0)).collect();
    let came = |(number, _): &(u32, u64)| {
        let socket = copy(*number).and_then(local);
        socket.is_some_and(|(local, is_connected)| is_connected && own.contains(&local))
    };
    others.iter().take(MOST).any(came)
}

/// Where it is bound, and whether it is connected.
fn local(socket: OwnedFd) -> Option<(Local, bool)> {
    let socket = TcpStream::from(socket);
    match socket.local_addr() {
        Ok(addr) => Some((Local::Port(addr.port()), socket.peer_addr().is_ok())),
        // It is of another family.
        Err(_) => {
            let socket = UnixStream::from(OwnedFd::from(socket));
            let path = socket.local_addr().ok()?.as_pathname()?.to_owned();
            Some((Local::Path(path), socket.peer_addr().is_ok()))
        }
    }
}
