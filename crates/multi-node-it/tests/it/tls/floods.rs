//! Clients that break TLS, in numbers, while the program reloads: it costs the others nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use multi_node_it::{Flood, within};
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::authority::Authority;
use super::client::Clients;
use super::raw::{REQUEST, Raw};

/// Clients of each kind at a time.
const EACH: usize = 3;

/// How long one keeps its connection.
const KEPT: Duration = Duration::from_millis(300);

/// What they do.
#[derive(Clone, Copy, Debug)]
enum Kind {
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

const KINDS: [Kind; 6] = [Kind::Begun, Kind::Nonsense, Kind::Broken, Kind::Part, Kind::Changed, Kind::HalfClosed];

impl Kind {
    async fn once(self, authority: &Authority, addr: SocketAddr) -> anyhow::Result<()> {
        let before = match self {
            Kind::Begun => &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc][..],
            Kind::Nonsense => b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
            _ => return self.with_keys(authority, addr).await,
        };
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(before).await?;
        tokio::time::sleep(KEPT).await;
        Ok(())
    }

    /// What begins with a whole handshake.
    async fn with_keys(self, authority: &Authority, addr: SocketAddr) -> anyhow::Result<()> {
        let version = if matches!(self, Kind::Part | Kind::Broken) { &TLS13 } else { &TLS12 };
        let mut client = Raw::try_connect(authority, addr, version).await?;
        let mut record = client.seal(REQUEST);
        match self {
            Kind::Changed => {
                record[9] ^= 1;
                client.send(&record).await;
                let _ = tokio::time::timeout(KEPT, client.rest()).await;
            }
            Kind::Part => {
                client.send(&record[..record.len() / 2]).await;
                tokio::time::sleep(KEPT).await;
            }
            Kind::HalfClosed => {
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
        let (mut flood, addr) = (Flood::default(), program.addr);
        for kind in KINDS.iter().flat_map(|kind| [*kind; EACH]) {
            let authority = authority.clone();
            flood.add(move || {
                let authority = authority.clone();
                async move { kind.once(&authority, addr).await }
            });
        }
        let clients = Clients::begin(&authority, &program, 2);
        for generation in 1..=3 {
            clients.go_on(50).await;
            let report = program.command("reload").await;
            assert_eq!(report["Ok"]["generation"], generation, "{report}");
        }
        clients.end().await;
        flood.end(&mut program).await;
        program.stop().await;
    })
    .await;
}
