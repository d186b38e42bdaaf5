//! The TCP connections and threads that this process has opened so far, from /proc (proc(5)).

use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, sockopt};

use super::process;

/// Not more sockets than these are looked at.
const MOST: usize = 256;

/// Standard streams belong to the process that has started this one.
const FIRST: u32 = 3;

/// How many TCP connections the program has made, or is making. What it was started with has no close-on-exec flag, or it
/// would not be here.
pub fn tcp_connections() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = fds.filter_map(|fd| fd.file_name().to_str()?.parse::<u32>().ok()).filter(|number| *number >= FIRST);
    let sockets = numbers.filter(|number| is_socket(*number) && closes_on_exec(*number)).take(MOST);
    sockets.filter(|number| process::own_descriptor(*number).is_ok_and(is_connection)).count()
}

/// The names of all threads but the first.
pub fn threads() -> Vec<String> {
    let own = std::process::id().to_string();
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let others = tasks.filter(|task| task.file_name().to_str() != Some(&own));
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    others.filter_map(name).map(|name| name.trim_end().to_owned()).collect()
}

fn is_socket(number: u32) -> bool {
    let link = std::fs::read_link(format!("/proc/self/fd/{number}"));
    link.is_ok_and(|link| link.to_string_lossy().starts_with("socket:"))
}

fn closes_on_exec(number: u32) -> bool {
    const CLOEXEC: u32 = 0o2_000_000;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOEXEC != 0)
}

/// Whether it is a TCP socket that is connected, or about to be: it has a port and does not listen.
fn is_connection(socket: OwnedFd) -> bool {
    let is_ip = matches!(sockopt::socket_domain(&socket), Ok(AddressFamily::INET | AddressFamily::INET6));
    let is_stream = sockopt::socket_type(&socket) == Ok(SocketType::STREAM);
    let listens = sockopt::socket_acceptconn(&socket) == Ok(true);
    is_ip && is_stream && !listens && TcpStream::from(socket).local_addr().is_ok_and(|addr| addr.port() != 0)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use super::*;

    /// Other tests of this process may have connections too, so each look has a process of its own.
    const IN_CHILD: &str = "MULTI_NODE_TEST_OPENED";

    #[test]
    fn connections_count_and_listeners_datagrams_and_pairs_do_not() {
        if std::env::var_os(IN_CHILD).is_none() {
            let name = "sys::opened::tests::connections_count_and_listeners_datagrams_and_pairs_do_not";
            let test = std::env::current_exe().expect("a test program");
            let child = Command::new(test).args(["--exact", name]).env(IN_CHILD, "1").output().expect("it starts");
            assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
            return;
        }
        assert_eq!(tcp_connections(), 0);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let _others = (UdpSocket::bind("127.0.0.1:0"), UnixStream::pair().expect("a pair"));
        assert_eq!(tcp_connections(), 0);
        let addr = listener.local_addr().expect("it is bound");
        let _ours = TcpStream::connect(addr).expect("it listens");
        assert_eq!(tcp_connections(), 1);
        let before = threads().len();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("early".to_owned());
        let thread = thread.spawn(move || ended.recv().is_err()).expect("a thread");
        while !threads().contains(&"early".to_owned()) {
            std::thread::yield_now();
        }
        assert_eq!(threads().len(), before + 1);
        drop(end);
        assert!(thread.join().expect("no panic"));
    }
}
