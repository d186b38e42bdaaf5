//! A network that tests break: TCP connections to one address pass, wait, or are cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// What is sent arrives so much later.
    Passes(Duration),
    /// Nothing arrives, and connections stay open.
    Swallows,
    /// Connections are closed, and no new ones are taken.
    Cut,
}

/// It ends with this.
pub struct Proxy {
    pub addr: SocketAddr,
    network: Arc<watch::Sender<Network>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of this address, on a port of its own.
    pub async fn before(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let network = Arc::new(watch::Sender::new(Network::Passes(Duration::ZERO)));
        let task = tokio::spawn(serve(listener, target, network.clone()));
        Proxy { addr, network, task }
    }

    /// As `Options::join` takes it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    /// The network is so from now on, for connections that stand too.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, network: Arc<watch::Sender<Network>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *network.borrow() == Network::Cut {
            continue;
        }
        connections.spawn(connect(client, target, network.subscribe()));
    }
}

async fn connect(client: TcpStream, target: SocketAddr, mut network: watch::Receiver<Network>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (up, down) = (network.clone(), network.clone());
    tokio::select! {
        () = pass(from_client, to_server, up) => {}
        () = pass(from_server, to_client, down) => {}
        _ = network.wait_for(|network| *network == Network::Cut) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // What comes while the network swallows is lost with its connection: nothing of it may arrive later, out of its place.
        let Network::Passes(latency) = *network.borrow_and_update() else {
            let _ = network.wait_for(|network| *network == Network::Cut).await;
            return;
        };
        sleep(latency).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
