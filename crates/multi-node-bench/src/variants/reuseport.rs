//! Prefork with a listener of its own for each process.

use std::process::Stdio;

use anyhow::Result;
use tokio::net::{TcpListener, TcpSocket};

use super::{BACKLOG, Server, Start, Variant, announce, hyper};

/// Serves, and starts the other nodes on the same port.
pub(super) fn serve(start: &Start) -> Result<()> {
    hyper::runtime()?.block_on(async {
        let listener = bind(start)?;
        let port = listener.local_addr()?.port();
        let one = Start { port, ..Start::on_free_port(1) };
        let others = (1..start.nodes)
            .map(|_| Server::start(Variant::Reuseport, &one, Stdio::null()))
            .collect::<Result<Vec<_>>>()?;
        announce(port, &others)?;
        hyper::accept(&listener).await
    })
}

fn bind(start: &Start) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(start.address())?;
    Ok(socket.listen(BACKLOG)?)
}
