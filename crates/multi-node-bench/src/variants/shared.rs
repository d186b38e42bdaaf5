//! Prefork on one listener that every process has, with tokio's accept.

use std::{net::TcpListener as StdListener, os::fd::AsFd, process::Stdio};

use anyhow::Result;
use tokio::net::{TcpListener, TcpSocket};

use super::{BACKLOG, Server, Start, Variant, announce, hyper};

/// Serves, and starts the other nodes on the same listener.
pub(super) fn serve(start: &Start) -> Result<()> {
    hyper::runtime()?.block_on(async {
        let listener = if start.inherited { inherit()? } else { bind(start)? };
        let port = listener.local_addr()?.port();
        let one = Start { port, inherited: true, ..Start::on_free_port(1) };
        let start_one = |_| {
            let copy = listener.as_fd().try_clone_to_owned()?;
            Server::start(Variant::Shared, &one, Stdio::from(copy))
        };
        let others = (1..start.nodes).map(start_one).collect::<Result<Vec<_>>>()?;
        announce(port, &others)?;
        hyper::accept(&listener).await
    })
}

fn bind(start: &Start) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(start.address())?;
    Ok(socket.listen(BACKLOG)?)
}

/// The listener on standard input. It is non-blocking already, since all share one open file.
fn inherit() -> Result<TcpListener> {
    let listener = StdListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    Ok(TcpListener::from_std(listener)?)
}
