//! Addresses → listening sockets, with errors that a person can act on.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
#[cfg(multi_process)]
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use crate::address::Address;
use crate::serve::Socket;
use crate::{Error, environment};

/// How long the start of a program waits for addresses that are in use. Nodes whose master was killed serve the clients that wait
/// before they close them, for at most 1 s.
#[cfg(multi_process)]
const FREED_WITHIN: Duration = Duration::from_secs(2);

/// How often they are tried.
#[cfg(multi_process)]
const TRY_EVERY: Duration = Duration::from_millis(20);

/// How sockets are made.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub backlog: u32,
    /// The mode of the files of Unix sockets; `None`: what the umask leaves.
    pub unix_mode: Option<u32>,
    /// Whether nodes have no privileges that the master has.
    pub nodes_are_others: bool,
}

/// Binds every address of every server: `servers[i]` are the addresses of the `i`th. After an error nothing is left bound.
/// Sockets that the parent process has opened stand in for those of their addresses.
pub async fn bind(servers: &[Vec<Address>], manner: Manner) -> Result<Vec<Vec<Socket>>, Error> {
    bind_or_take(servers, Given::take()?, manner).await
}

/// As [`bind`], also where nodes of a killed master have the addresses for a moment longer: they see its end and close them.
#[cfg(multi_process)]
pub async fn bind_when_free(servers: &[Vec<Address>], manner: Manner) -> Result<Vec<Vec<Socket>>, Error> {
    let deadline = Instant::now() + FREED_WITHIN;
    loop {
        match bind(servers, manner).await {
            Err(error) if error.is_address_in_use() && !environment::sockets_given() && Instant::now() < deadline => {
                crate::log::debug!(%error, "trying again");
                tokio::time::sleep(TRY_EVERY).await;
            }
            bound => return bound,
        }
    }
}

/// As [`bind`], for addresses that are not the program's clients': the files of Unix sockets get the mode that the umask leaves.
pub async fn bind_private(servers: &[Vec<Address>], manner: Manner) -> Result<Vec<Vec<Socket>>, Error> {
    bind_or_take(servers, Given::take()?, Manner { unix_mode: None, ..manner }).await
}

/// As [`bind`], long after the start.
#[cfg(multi_process)]
pub async fn open(servers: &[Vec<Address>], manner: Manner) -> Result<Vec<Vec<Socket>>, Error> {
    bind_or_take(servers, Given(Vec::new()), manner).await
}

async fn bind_or_take(servers: &[Vec<Address>], mut given: Given, manner: Manner) -> Result<Vec<Vec<Socket>>, Error> {
    let mut resolved = Vec::new();
    for addresses in servers {
        resolved.push(resolve(addresses).await?);
    }
    let ipv4_ports: Vec<u16> = resolved
        .iter()
        .flatten()
        .filter_map(|(_, addr)| addr.filter(SocketAddr::is_ipv4))
        .map(|addr| addr.port())
        .collect();
    let mut bound = Vec::new();
    let mut files = SocketFiles(Vec::new());
    for addresses in resolved {
        let mut sockets = Vec::new();
        for (address, addr) in addresses {
            if let Some(socket) = given.socket(address, addr) {
                sockets.push(socket);
                continue;
            }
            let socket = match (address, addr) {
                (Address::Unix(path), _) => unix(path, manner, &mut files).await,
                (_, Some(addr)) => tcp(addr, manner.backlog, ipv4_ports.contains(&addr.port())),
                (_, None) => continue,
            };
            sockets.push(socket.map_err(|source| failed(address, source))?);
        }
        bound.push(sockets);
    }
    given.nothing_is_left()?;
    files.keep();
    Ok(bound)
}

/// Sockets that the parent process has opened, until they are used.
struct Given(Vec<Socket>);

impl Given {
    #[cfg(multi_process)]
    fn take() -> Result<Given, Error> {
        crate::systemd::sockets().map(Given).map_err(Error::io("take the sockets that LISTEN_FDS tells of"))
    }

    #[cfg(not(multi_process))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere there may be some")]
    fn take() -> Result<Given, Error> {
        Ok(Given(Vec::new()))
    }

    /// The one for this address: bound to it, or to all addresses of the machine with its port, or to its path.
    fn socket(&mut self, address: &Address, addr: Option<SocketAddr>) -> Option<Socket> {
        let at = self.0.iter().position(|socket| serves(socket, address, addr))?;
        Some(self.0.remove(at))
    }

    /// Clients of a socket that no server serves would wait for ever.
    fn nothing_is_left(self) -> Result<(), Error> {
        let Some(socket) = self.0.first() else { return Ok(()) };
        Err(Error::Bind {
            address: socket.local_addr().map_or_else(|_| "a socket".to_owned(), |addr| addr.to_string()),
            source: io::Error::new(io::ErrorKind::InvalidInput, "LISTEN_FDS has it, and the program does not serve it"),
            remedy: "make the addresses of the socket unit and of the program the same".to_owned(),
        })
    }
}

fn serves(socket: &Socket, address: &Address, addr: Option<SocketAddr>) -> bool {
    match (socket, address, addr) {
        (Socket::Tcp(listener), _, Some(wanted)) => listener.local_addr().is_ok_and(|bound| covers(bound, wanted)),
        #[cfg(unix)]
        (Socket::Unix(listener), Address::Unix(path), _) => {
            listener.local_addr().is_ok_and(|bound| bound.as_pathname() == Some(path))
        }
        _ => false,
    }
}

/// Port 0 asks for any, and an address that stands for all covers each.
fn covers(bound: SocketAddr, wanted: SocketAddr) -> bool {
    let host = bound.ip() == wanted.ip() || bound.ip().is_unspecified() || wanted.ip().is_unspecified();
    host && (wanted.port() == bound.port() || wanted.port() == 0)
}

/// Files of Unix sockets that are removed unless all has gone well.
struct SocketFiles(Vec<PathBuf>);

impl SocketFiles {
    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| remove(path));
    }
}

/// Each address with the socket address to bind. A name may have several; a path has none.
async fn resolve(addresses: &[Address]) -> Result<Vec<(&Address, Option<SocketAddr>)>, Error> {
    let mut resolved = Vec::new();
    for address in addresses {
        let Address::Tcp { host, port } = address else {
            resolved.push((address, None));
            continue;
        };
        let found = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(|source| Error::Bind {
            address: address.to_string(),
            source,
            remedy: "check the host's name (`getent hosts NAME`)".to_owned(),
        })?;
        for addr in found {
            if !resolved.contains(&(address, Some(addr))) {
                resolved.push((address, Some(addr)));
            }
        }
    }
    Ok(resolved)
}

/// `::` takes IPv4 connections too (ipv6(7)), unless another listener serves these.
pub fn tcp(addr: SocketAddr, backlog: u32, ipv4_has_port: bool) -> io::Result<Socket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted program must not wait for connections in TIME_WAIT (socket(7)).
    socket.set_reuseaddr(true)?;
    #[cfg(multi_process)]
    if addr.is_ipv6() && ipv4_has_port {
        crate::sys::socket::only_ipv6(&socket)?;
    }
    #[cfg(not(multi_process))]
    let _ = ipv4_has_port;
    socket.bind(addr)?;
    Ok(Socket::Tcp(socket.listen(backlog)?.into_std()?))
}

#[cfg(unix)]
async fn unix(path: &Path, manner: Manner, files: &mut SocketFiles) -> io::Result<Socket> {
    use std::os::unix::fs::PermissionsExt;
    remove_stale(path).await?;
    let socket = tokio::net::UnixSocket::new_stream()?;
    socket.bind(path)?;
    files.0.push(path.to_owned());
    // Before it listens no client can connect, so there is no moment with a wider mode.
    if let Some(mode) = manner.unix_mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(Socket::Unix(socket.listen(manner.backlog)?.into_std()?))
}

/// Removes a socket file on which no process listens any more.
#[cfg(unix)]
pub async fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in the way")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(not(unix))]
async fn unix(_: &Path, _: Manner, _: &mut SocketFiles) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes the files of Unix sockets, for a program that has not begun. If it was given sockets, those are not its own. Then
/// it leaves all files, and the next start replaces its own.
pub fn unlink(servers: &[Vec<Address>]) {
    own_files(servers).for_each(remove);
}

/// As [`unlink`], for the end of a program: another start may have put files of its own in their place meanwhile, which stay.
pub async fn unlink_unserved(servers: &[Vec<Address>]) {
    for path in own_files(servers) {
        #[cfg(unix)]
        if let Err(error) = remove_stale(path).await {
            crate::log::debug!(path = %path.display(), %error, "the socket file is left");
        }
        #[cfg(not(unix))]
        remove(path);
    }
}

fn own_files(servers: &[Vec<Address>]) -> impl Iterator<Item = &Path> {
    let addresses = servers.iter().flatten().filter(|_| !environment::sockets_given());
    addresses.filter_map(|address| match address {
        Address::Unix(path) => Some(path.as_path()),
        Address::Tcp { .. } => None,
    })
}

/// Closes the socket to all new clients, for all processes that have it. Connections in its queue can still be accepted.
#[cfg(multi_process)]
pub async fn refuse(socket: &Socket) -> io::Result<()> {
    match socket {
        Socket::Tcp(listener) => crate::sys::epoll::make_unreachable(listener),
        Socket::Unix(listener) => match listener.local_addr()?.as_pathname() {
            Some(path) if is_own(path).await? => std::fs::remove_file(path),
            _ => Ok(()),
        },
    }
}

/// Whether who connects to this path comes to a socket that this process has made: another program may have put its own there.
#[cfg(multi_process)]
async fn is_own(path: &Path) -> io::Result<bool> {
    use std::os::fd::AsFd;
    let stream = match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        stream => stream?,
    };
    Ok(crate::sys::socket::maker(stream.as_fd())? == std::process::id())
}

pub fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        crate::log::debug!(path = %path.display(), %error, "the socket file was gone already");
    }
}

fn failed(address: &Address, source: io::Error) -> Error {
    let remedy = remedy(address, source.kind());
    Error::Bind { address: address.to_string(), source, remedy }
}

fn remedy(address: &Address, kind: io::ErrorKind) -> String {
    match (kind, address) {
        (io::ErrorKind::AddrInUse, Address::Tcp { port, .. }) => {
            format!(
                "another program has this port (`ss -ltnp 'sport = :{port}'` tells which); stop it or choose another"
            )
        }
        (io::ErrorKind::AddrInUse, Address::Unix(_)) => {
            "another program serves this path; stop it or choose another".to_owned()
        }
        (io::ErrorKind::PermissionDenied, Address::Tcp { port: 1..1024, .. }) => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        (io::ErrorKind::PermissionDenied, Address::Unix(_)) => {
            "this user may not write to the socket's directory".to_owned()
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            "this machine has no such address (`ip addr` lists those it has)".to_owned()
        }
        (io::ErrorKind::NotFound, Address::Unix(_)) => "make the socket's directory first".to_owned(),
        (io::ErrorKind::InvalidInput, Address::Unix(_)) => "107 bytes are the most; choose a shorter path".to_owned(),
        (io::ErrorKind::AlreadyExists, Address::Unix(_)) => "remove it or choose another path".to_owned(),
        _ => "check the address".to_owned(),
    }
}
