//! Clients that go on asking while a program changes, and take no failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use crate::client::{self, Client};

/// Clients that make one request after the other.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
}

impl Load {
    /// This number of clients, each of which makes a connection for each request.
    pub fn begin(addr: SocketAddr, clients: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    let answer = client::get(addr, "/").await;
                    answer.unwrap_or_else(|error| panic!("request {answered} of a client failed: {error:#}"));
                    answered += 1;
                }
                answered
            })
        };
        Load { clients: (0..clients).map(client).collect(), stop }
    }

    /// As many more clients, each of which keeps its one connection.
    pub fn and_kept(mut self, addr: SocketAddr, clients: usize) -> Load {
        self.clients.extend((0..clients).map(|_| {
            let stop = self.stop.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(addr).await.expect("a connection");
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.get("/").await;
                    answer.unwrap_or_else(|error| panic!("request {answered} of a kept connection failed: {error:#}"));
                    answered += 1;
                }
                answered
            })
        }));
        self
    }

    /// Checks that every request was answered.
    pub async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let answered = client.await.expect("no request fails");
            assert!(answered > 0, "a client never had its turn");
        }
    }
}
