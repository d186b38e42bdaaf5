//! Ports for programs that need a port number as an argument.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// An address that no other program gets by chance. It is bound, so the kernel assigns it to no socket that asks for any
/// port. No socket listens on it, so a server that asks for this very port with SO_REUSEADDR gets it (socket(7)).
#[derive(Debug)]
pub struct Held(TcpSocket);

impl Held {
    /// An address on loopback.
    ///
    /// # Errors
    ///
    /// Where no port is left.
    pub fn new() -> io::Result<Held> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        Ok(Held(socket))
    }

    /// The address, for as long as this lives.
    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }
}
