//! Clients that break TLS, in numbers, while the program reloads: it costs the others nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use multi_node_it::within;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::authority::Authority;
use super::client::Clients;
use super::raw::{REQUEST, Raw};

/// Clients of each kind at a time.
const EACH: usize = 3;

/// How long one keeps its connection.
const KEPT: Duration = Duration::from_millis(300);

/// What they do.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// They begin a handshake and do not go on.
    Begun,
    /// They send what is no handshake.
    Nonsense,
    /// They shake hands, and break the connection.
    Broken,
    /// They send a part of a record.
    Part,
    /// They send a record that was changed on its way.
    Changed,
    /// They half-close within a record.
    HalfClosed,
}

const FLOODS: [Flood; 6] =
    [Flood::Begun, Flood::Nonsense, Flood::Broken, Flood::Part, Flood::Changed, Flood::HalfClosed];

impl Flood {
    async fn goes_on(self, authority: Arc<Authority>, addr: SocketAddr, is_over: Arc<AtomicBool>) {
        while !is_over.load(Ordering::Relaxed) {
            // That it is refused or cut is what it deserves.
            let _ = self.once(&authority, addr).await;
        }
    }

    async fn once(self, authority: &Authority, addr: SocketAddr) -> anyhow::Result<()> {
        let before = match self {
            Flood::Begun => &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc][..],
            Flood::Nonsense => b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
            _ => return self.with_keys(authority, addr).await,
        };
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(before).await?;
        tokio::time::sleep(KEPT).await;
        Ok(())
    }

    /// What begins with a whole handshake.
    async fn with_keys(self, authority: &Authority, addr: SocketAddr) -> anyhow::Result<()> {
        let version = if matches!(self, Flood::Part | Flood::Broken) { &TLS13 } else { &TLS12 };
        let mut client = Raw::try_connect(authority, addr, version).await?;
        let mut record = client.seal(REQUEST);
        match self {
            Flood::Changed => {
                record[9] ^= 1;
                client.send(&record).await;
                let _ = tokio::time::timeout(KEPT, client.rest()).await;
            }
            Flood::Part => {
                client.send(&record[..record.len() / 2]).await;
                tokio::time::sleep(KEPT).await;
            }
            Flood::HalfClosed => {
                client.send(&record[..record.len() - 1]).await;
                client.shutdown().await;
                let _ = tokio::time::timeout(KEPT, client.rest()).await;
            }
            _ => {}
        }
        Ok(())
    }
}

#[tokio::test]
async fn clients_that_break_tls_through_reloads_cost_the_others_nothing() {
    within(110, async {
        let authority = Arc::new(Authority::new());
        let mut program = authority.serving(2).await;
        let (is_over, mut floods) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for flood in FLOODS.iter().flat_map(|flood| [*flood; EACH]) {
            floods.spawn(flood.goes_on(authority.clone(), program.addr, is_over.clone()));
        }
        let clients = Clients::begin(&authority, &program, 2);
        for generation in 1..=3 {
            clients.go_on(50).await;
            let report = program.command("reload").await;
            assert_eq!(report["Ok"]["generation"], generation, "{report}");
        }
        clients.end().await;
        is_over.store(true, Ordering::Relaxed);
        floods.join_all().await;
        let status = program.status_where(|s| s.is_ready() && s.slots.iter().all(|slot| slot.connections == 0)).await;
        assert!(status.slots.iter().all(|slot| slot.restarts == 0), "{status:?}");
        program.stop().await;
    })
    .await;
}
