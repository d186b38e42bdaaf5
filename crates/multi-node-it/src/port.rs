//! Ports for programs that have to be told theirs.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// An address that no one gets by chance. It is bound, so the kernel gives it to nobody who asks for any; and since nobody
/// listens on it, whoever asks for this very one gets it, if that is with SO_REUSEADDR, as for servers (socket(7)).
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
