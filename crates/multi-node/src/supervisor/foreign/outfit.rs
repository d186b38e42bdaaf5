//! What every node of the program is given.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use super::Attendance;
use crate::control::Exec;
use crate::id::Generation;
use crate::mesh::PeerInfo;
use crate::program::{self, Place, Program};
use crate::serve::Socket;
use crate::sys;

/// The program, and the sockets that its nodes listen on.
#[derive(Debug)]
pub(crate) struct Foreign {
    program: Program,
    sockets: Vec<program::Socket>,
}

impl Foreign {
    pub(crate) fn new(program: Program, sockets: &[Socket]) -> Foreign {
        Foreign { program, sockets: sockets.iter().map(described).collect() }
    }

    /// What the stage of this node becomes, and what attends to the node from then on.
    pub(in crate::supervisor) fn outfit(
        &self,
        node: PeerInfo,
        generation: Generation,
        sockets: &[Socket],
    ) -> io::Result<(Exec, Attendance)> {
        let place = Place {
            slot: node.slot.ok_or_else(|| io::Error::other("the master has no slot"))?,
            id: node.id,
            pid: node.pid,
            generation: generation.number().into(),
            sockets: self.sockets.clone(),
            node_port: if self.program.wants_node_port() { Some(free_port()?) } else { None },
        };
        let fds = sockets.iter().map(Socket::try_clone_file).collect::<io::Result<Vec<OwnedFd>>>()?;
        let exec = Exec {
            program: self.program.program.clone(),
            args: self.program.arguments(&place),
            env: self.program.variables(&place),
            numbers: (program::FIRST..).take(fds.len()).collect(),
            fds,
        };
        Ok((exec, Attendance::new(self.program.ready_after)))
    }

    /// Tells the program to finish and end.
    pub(in crate::supervisor) fn stop(&self, process: &OwnedFd) -> io::Result<()> {
        sys::process::signal(process.as_fd(), self.program.stop_signal)
    }
}

fn described(socket: &Socket) -> program::Socket {
    let (address, port) = match socket {
        Socket::Tcp(listener) => listener.local_addr().map(|addr| (addr.to_string(), Some(addr.port()))).ok(),
        Socket::Unix(listener) => {
            let path = listener.local_addr().ok();
            path.and_then(|addr| Some((addr.as_pathname()?.display().to_string(), None)))
        }
    }
    .unwrap_or_default();
    program::Socket { address, port }
}

/// A port of 127.0.0.1 that nobody listens on now.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
