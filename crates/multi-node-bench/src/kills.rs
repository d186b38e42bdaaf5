//! Kills of nodes, and what each may cost: the connections that the node held, and no other.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs, io,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use multi_node_probe::Lost;
use rustix::net::{getpeername, getsockname};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open};

/// How long a process may take to stop: as long as a system call that cannot be interrupted.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// All kills of a run.
#[derive(Debug, Default)]
pub struct Kills(Vec<Kill>);

#[derive(Debug)]
struct Kill {
    at: Instant,
    /// The clients' ports of the connections that the process held.
    ports: HashSet<u16>,
}

impl Kills {
    /// Kills a process that serves on this port. It is stopped first, for as long as it takes to read which connections
    /// it holds; a node whose master is replaced meanwhile goes on, and is stopped again.
    ///
    /// # Errors
    /// Where the process is not there, or may not be killed or looked at.
    pub fn kill(&mut self, pid: u32, port: u16) -> io::Result<()> {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let ports = loop {
            stop(process, pid)?;
            let ports = connections(process, port)?;
            if threads_stopped(pid)? {
                break ports;
            }
        };
        self.0.push(Kill { at: Instant::now(), ports });
        Ok(kill_process(process, Signal::KILL)?)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many connections the killed processes held.
    pub fn connections(&self) -> usize {
        self.0.iter().map(|kill| kill.ports.len()).sum()
    }

    /// Whether the request was lost because the process that held its connection was killed.
    pub fn explain(&self, lost: &Lost) -> bool {
        lost.connection.is_some_and(|(port, opened)| self.broke(port, opened, lost.at))
    }

    /// Whether a killed process held the connection from this port, which was opened at the one time and lost at the other.
    pub fn broke(&self, port: u16, opened: Instant, lost: Instant) -> bool {
        self.0.iter().any(|kill| opened < kill.at && kill.at < lost && kill.ports.contains(&port))
    }
}

/// Stops every thread of the process, repeatedly: it may be continued before the last of them has stopped.
fn stop(process: Pid, pid: u32) -> io::Result<()> {
    let limit = Instant::now() + STOPS_WITHIN;
    loop {
        kill_process(process, Signal::STOP)?;
        if threads_stopped(pid)? {
            return Ok(());
        }
        if Instant::now() > limit {
            return Err(io::Error::other(format!("process {pid} does not stop")));
        }
        thread::sleep(Duration::from_micros(100));
    }
}

fn threads_stopped(pid: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        // The name before the state may hold anything (proc(5)).
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        if state != Some(b'T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The clients' ports of all TCP connections to `port` that the process has open.
///
/// The sockets themselves are asked: the kernel's table of all connections takes a second to read where tens of thousands are in TIME_WAIT,
/// and meanwhile the process would be stopped.
fn connections(process: Pid, port: u16) -> io::Result<HashSet<u16>> {
    let by_fd = pidfd_open(process, PidfdFlags::empty())?;
    let mut ports = HashSet::new();
    for fd in fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero()))? {
        let path = fd?.path();
        if is_socket(&path)
            && let Some(number) = path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse().ok())
        {
            let socket = pidfd_getfd(&by_fd, number, PidfdGetfdFlags::empty())?;
            ports.extend(clients_port(&socket, port));
        }
    }
    Ok(ports)
}

/// Whether a descriptor in /proc leads to a socket.
fn is_socket(fd: &Path) -> bool {
    fs::read_link(fd).is_ok_and(|target| target.to_str().is_some_and(|target| target.starts_with("socket:[")))
}

/// `None` where the socket is no connection to `port`.
fn clients_port(socket: &OwnedFd, port: u16) -> Option<u16> {
    let local = SocketAddr::try_from(getsockname(socket).ok()?).ok()?;
    let peer = SocketAddr::try_from(getpeername(socket).ok()??).ok()?;
    (local.port() == port).then_some(peer.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_are_told_by_their_clients_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let open = |_| TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let [taken, waiting] = [0, 1].map(open).map(|stream| (stream.local_addr().expect("bound").port(), stream));
        let accepted = listener.accept().expect("a connection");
        assert_eq!(accepted.1.port(), taken.0);
        let held = connections(rustix::process::getpid(), port).expect("readable");
        assert_eq!((held.contains(&taken.0), held.contains(&waiting.0)), (true, false));
    }
}
