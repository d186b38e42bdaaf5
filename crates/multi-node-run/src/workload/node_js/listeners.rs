//! The sockets that Node.js programs ask for: those that the master was given first, others as they are asked for.

use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::super::linked::NO_FILES;
use super::message::Address;
use crate::bind;
use crate::program::FIRST;
use crate::serve::Socket;
use serde_json::{Value, json};
use tokio::sync::watch;

/// The numbers of errors that have none of their own here (errno(3)).
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;
pub(super) const EADDRINUSE: i32 = 98;

/// Finds a socket for each server.
#[derive(Debug)]
pub(super) struct Listeners {
    given: Vec<Socket>,
    /// How many of them have been mapped to a server.
    pub(super) mapped: usize,
    pub(super) backlog: u32,
    /// What was bound here, as people write it.
    pub(super) bound: watch::Sender<Vec<String>>,
    /// Files of Unix sockets that were made here.
    pub(super) files: Vec<PathBuf>,
    /// Whether no more are made, since nodes run as another user.
    pub(super) refuses_files: bool,
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.files.iter().for_each(|path| bind::remove(path));
    }
}

/// What `server.address()` is to tell: the port that the program asked for, though another is served.
pub(super) fn name(socket: &Socket, asked: &Address) -> Option<Value> {
    let addr = socket.local_addr().ok()?.tcp()?;
    let family = if addr.is_ipv4() { "IPv4" } else { "IPv6" };
    let port = asked.port.filter(|port| *port > 0).unwrap_or_else(|| addr.port().into());
    Some(json!({ "address": addr.ip().to_string(), "family": family, "port": port }))
}

impl Listeners {
    pub(super) fn new(given: Vec<Socket>, backlog: u32) -> Listeners {
        Listeners {
            given,
            mapped: 0,
            backlog,
            bound: watch::Sender::default(),
            files: Vec::new(),
            refuses_files: false,
        }
    }

    /// Lets go of the sockets that the master was given.
    pub(super) fn close(&mut self) {
        self.given.clear();
        self.mapped = 0;
    }

    /// The socket for a server that asks for this address, or the number of the error.
    pub(super) async fn find(&mut self, asked: &Address) -> Result<Socket, i32> {
        if asked.udp {
            crate::log::warn!(
                "a Node.js program asked for a datagram socket, which nodes cannot share; it gets ENOTSUP"
            );
            return Err(EOPNOTSUPP);
        }
        let found = match (asked.fd.filter(|fd| *fd >= 0), self.mapped < self.given.len()) {
            (Some(fd), _) => self.numbered(fd).ok_or(EINVAL)?.try_clone(),
            (None, true) => self.map(asked),
            (None, false) => self.bind(asked).await,
        };
        found.map_err(|error| number(&error))
    }

    /// The program's descriptors from 3 on are the sockets that the master was given.
    fn numbered(&self, fd: i64) -> Option<&Socket> {
        self.given.get(usize::try_from(fd).ok()?.checked_sub(FIRST as usize)?)
    }

    fn map(&mut self, asked: &Address) -> io::Result<Socket> {
        let socket = self.given[self.mapped].try_clone()?;
        self.mapped += 1;
        crate::log::info!("what the program serves on {} is served on {}", told(asked), socket.name());
        Ok(socket)
    }

    async fn bind(&mut self, asked: &Address) -> io::Result<Socket> {
        let host = asked.host.as_deref();
        let socket = match (host, asked.port.and_then(|port| u16::try_from(port).ok())) {
            (Some(path), None) => self.bind_unix(Path::new(path), asked.mode).await?,
            (Some(host), Some(port)) => {
                let ip: IpAddr = host.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
                bind::tcp(SocketAddr::new(ip, port), self.backlog, asked.only_v6)?
            }
            // As Node does it: both families where there are both.
            (None, Some(port)) => bind::tcp((Ipv6Addr::UNSPECIFIED, port).into(), self.backlog, false)
                .or_else(|_| bind::tcp((Ipv4Addr::UNSPECIFIED, port).into(), self.backlog, false))?,
            (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let name = socket.name();
        crate::log::info!("listening on {name}");
        self.bound.send_modify(|bound| bound.push(name));
        Ok(socket)
    }

    async fn bind_unix(&mut self, path: &Path, mode: u32) -> io::Result<Socket> {
        if self.refuses_files {
            crate::log::warn!("a Node.js program asked for {}, and gets EACCES: {NO_FILES}", path.display());
            return Err(io::Error::from_raw_os_error(EACCES));
        }
        bind::remove_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(as_node)?;
        self.files.push(path.to_owned());
        if mode != 0 {
            let had = std::fs::metadata(path)?.permissions().mode();
            // Node.js only adds to what the umask leaves.
            std::fs::set_permissions(path, Permissions::from_mode((had | mode) & 0o777))?;
        }
        Ok(Socket::Unix(listener))
    }
}

/// Where there is no folder, Node.js says EACCES, as on Windows.
fn as_node(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(ENOENT) { io::Error::from_raw_os_error(EACCES) } else { error }
}

fn number(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::AddrInUse => EADDRINUSE,
        _ => error.raw_os_error().unwrap_or(EINVAL),
    }
}

fn told(asked: &Address) -> String {
    match (&asked.host, asked.port) {
        (Some(host), Some(port)) if port >= 0 => format!("{host}:{port}"),
        (Some(host), _) => host.clone(),
        (None, port) => format!("port {}", port.unwrap_or_default()),
    }
}
