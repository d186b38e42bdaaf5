//! Sockets as a process's network namespace shows them (proc_pid_net(5)).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::open::Open;

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    pub address: String,
    pub inode: u64,
}

/// A line of `tcp` or `tcp6`.
#[derive(Debug, PartialEq, Eq)]
struct Tcp {
    address: SocketAddr,
    state: u8,
    inode: u64,
}

const LISTEN: u8 = 10;

/// The sockets that the process has and listens on, as far as it may be looked at.
pub fn listeners(pid: u32) -> Vec<Listener> {
    let Ok(open) = Open::of(pid) else { return Vec::new() };
    all_listeners(pid, &open.sockets())
}

/// Whether the process listens on a socket that is none of these.
pub(super) fn is_listening_elsewhere(pid: u32, open: &Open, sockets: &BTreeSet<u64>) -> bool {
    let others = &open.sockets() - sockets;
    !others.is_empty() && !all_listeners(pid, &others).is_empty()
}

fn all_listeners(pid: u32, sockets: &BTreeSet<u64>) -> Vec<Listener> {
    // Those that listen come first.
    let listening = |name| lines(pid, name).filter_map(|line| Tcp::read(&line)).take_while(|line| line.state == LISTEN);
    let tcp = listening("tcp").chain(listening("tcp6"));
    let tcp = tcp.map(|line| Listener { address: line.address.to_string(), inode: line.inode });
    let unix = lines(pid, "unix").filter_map(|line| Unix::read(&line)).filter(|line| line.listens);
    let unix = unix.filter_map(|line| Some(Listener { address: format!("unix:{}", line.path?), inode: line.inode }));
    tcp.chain(unix).filter(|listener| sockets.contains(&listener.inode)).collect()
}

/// The lines of one of its tables, without that which names the columns.
fn lines(pid: u32, table: &str) -> impl Iterator<Item = String> + use<> {
    let file = File::open(format!("/proc/{pid}/net/{table}")).ok();
    file.into_iter().flat_map(|file| BufReader::new(file).lines().skip(1)).map_while(Result::ok)
}

impl Tcp {
    /// `0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4711 …`
    fn read(line: &str) -> Option<Tcp> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = words.get(1)?.split_once(':')?;
        let address = SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?);
        Some(Tcp { address, state: u8::from_str_radix(words.get(3)?, 16).ok()?, inode: words.get(9)?.parse().ok()? })
    }
}

/// Words of four bytes, each as this machine has it in memory.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

/// A line of `unix`.
#[derive(Debug, PartialEq, Eq)]
struct Unix {
    listens: bool,
    inode: u64,
    path: Option<String>,
}

impl Unix {
    /// `ffff…: 00000002 00000000 00010000 0001 01 4711 /run/app.sock`
    fn read(line: &str) -> Option<Unix> {
        const ACCEPTS: u32 = 0x10000;
        let mut words = line.split_whitespace();
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let inode = words.nth(2)?.parse().ok()?;
        Some(Unix { listens: flags & ACCEPTS != 0, inode, path: words.next().map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn lines_are_read() {
        let tcp = |text| Tcp::read(text).map(|line| (line.address.to_string(), line.state, line.inode));
        let v4 = "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4711 1 0 100 0";
        let v6 = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 01 \
                  00000000:00000000 00:00000000 00000000 0 0 12 1 0";
        if cfg!(target_endian = "little") {
            assert_eq!(tcp(v4), Some(("127.0.0.1:8000".to_owned(), LISTEN, 4711)));
            assert_eq!(tcp(v6), Some(("[::1]:80".to_owned(), 1, 12)));
        }
        assert_eq!(["", "0:", "0: x:y 0 0A", "0: 01:02 0 0A 0 0 0 0 0 1"].map(tcp), [None, None, None, None]);
        let unix = "ffff8880: 00000002 00000000 00010000 0001 01 4711 /run/app.sock";
        let read = Unix { listens: true, inode: 4711, path: Some("/run/app.sock".to_owned()) };
        assert_eq!(Unix::read(unix), Some(read));
        assert_eq!(Unix::read("x"), None);
    }

    fn serves(sockets: &BTreeSet<u64>) -> bool {
        super::super::serves(std::process::id(), sockets)
    }

    #[test]
    fn a_listener_and_its_clients_are_found() {
        let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("bind");
        let addr = listener.local_addr().expect("bound");
        let inode = super::super::inode(listener.as_fd()).expect("fstat");
        assert!(listeners(std::process::id()).contains(&Listener { address: addr.to_string(), inode }));
        let sockets = BTreeSet::from([inode]);
        assert!(!serves(&sockets));
        let client = TcpStream::connect(addr).expect("connect");
        let (accepted, _) = listener.accept().expect("accept");
        assert!(serves(&sockets));
        drop((client, accepted));
    }

    #[test]
    fn so_are_those_of_a_unix_socket() {
        let path = std::env::temp_dir().join(format!("multi-node-sockets-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("bind");
        let inode = super::super::inode(listener.as_fd()).expect("fstat");
        let sockets = BTreeSet::from([inode]);
        let address = format!("unix:{}", path.display());
        assert!(listeners(std::process::id()).contains(&Listener { address, inode }));
        assert!(!serves(&sockets));
        let client = UnixStream::connect(&path).expect("connect");
        let accepted = listener.accept().expect("accept");
        assert!(serves(&sockets));
        std::fs::remove_file(&path).expect("ours");
        drop((client, accepted));
    }
}
