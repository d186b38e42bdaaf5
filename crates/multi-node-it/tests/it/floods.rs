//! Clients that mean harm, in numbers, while the program reloads: it costs the others nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use multi_node_it::{Load, Plan, Program, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Clients of each kind at a time.
const EACH: usize = 12;

/// How long one keeps its connection.
const KEPT: Duration = Duration::from_millis(300);

/// What they send.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// Nothing, and close at once.
    Connections,
    /// Nothing, and break the connection.
    Resets,
    /// A head that does not end.
    SlowHeads,
    /// Requests whose answers they never read.
    Unread,
    /// HTTP/2 frames of pings and settings, and then nonsense.
    Frames,
    /// Bytes that are no HTTP.
    Nonsense,
}

const FLOODS: [Flood; 6] =
    [Flood::Connections, Flood::Resets, Flood::SlowHeads, Flood::Unread, Flood::Frames, Flood::Nonsense];

impl Flood {
    fn bytes(self) -> Vec<u8> {
        match self {
            Flood::Connections | Flood::Resets => Vec::new(),
            Flood::SlowHeads => format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(2000)).into_bytes(),
            Flood::Unread => b"GET /bytes/1000000 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20),
            Flood::Frames => {
                let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
                bytes.extend(b"\0\0\x08\x06\0\0\0\0\0pingping".repeat(500));
                bytes.extend([0xff; 9]);
                bytes
            }
            Flood::Nonsense => (0..=255).rev().cycle().take(3000).collect(),
        }
    }

    async fn goes_on(self, addr: SocketAddr, is_over: Arc<AtomicBool>) {
        while !is_over.load(Ordering::Relaxed) {
            // That it is refused or cut is what it deserves.
            let _ = self.once(addr).await;
        }
    }

    async fn once(self, addr: SocketAddr) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(&self.bytes()).await?;
        match self {
            Flood::Connections => {}
            Flood::Resets => stream.set_zero_linger()?,
            Flood::SlowHeads | Flood::Unread => tokio::time::sleep(KEPT).await,
            Flood::Frames | Flood::Nonsense => {
                let mut answer = Vec::new();
                let _ = tokio::time::timeout(KEPT, stream.read_to_end(&mut answer)).await;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn floods_through_reloads_cost_the_other_clients_nothing() {
    within(120, async {
        let drain_timeout = Duration::from_secs(3);
        let mut program = Program::serving(Plan { drain_timeout, ..Plan::nodes(2) }).await;
        let (is_over, mut floods) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for flood in FLOODS.iter().flat_map(|flood| [*flood; EACH]) {
            floods.spawn(flood.goes_on(program.addr, is_over.clone()));
        }
        let load = Load::begin(program.addr, 4).and_kept(program.addr, 4);
        for generation in 1..=3 {
            let report = program.command("reload").await;
            assert_eq!(report["Ok"]["generation"], generation, "{report}");
        }
        load.end().await;
        is_over.store(true, Ordering::Relaxed);
        floods.join_all().await;
        let status = program.status_where(|s| s.is_ready() && s.slots.iter().all(|slot| slot.connections == 0)).await;
        assert!(status.slots.iter().all(|slot| slot.restarts == 0), "{status:?}");
        program.stop().await;
    })
    .await;
}
