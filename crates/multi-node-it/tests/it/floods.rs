//! Clients that mean harm, in numbers, while the program reloads: it costs the others nothing.

use std::net::SocketAddr;
use std::time::Duration;

use multi_node_it::{Flood, Load, Plan, Program, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Clients of each kind at a time.
const EACH: usize = 12;

/// How long one keeps its connection.
const KEPT: Duration = Duration::from_millis(300);

/// What they send.
#[derive(Clone, Copy, Debug)]
enum Kind {
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

const KINDS: [Kind; 6] = [Kind::Connections, Kind::Resets, Kind::SlowHeads, Kind::Unread, Kind::Frames, Kind::Nonsense];

impl Kind {
    fn bytes(self) -> Vec<u8> {
        match self {
            Kind::Connections | Kind::Resets => Vec::new(),
            Kind::SlowHeads => format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(2000)).into_bytes(),
            Kind::Unread => b"GET /bytes/1000000 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20),
            Kind::Frames => {
                let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
                bytes.extend(b"\0\0\x08\x06\0\0\0\0\0pingping".repeat(500));
                bytes.extend([0xff; 9]);
                bytes
            }
            Kind::Nonsense => (0..=255).rev().cycle().take(3000).collect(),
        }
    }

    async fn once(self, addr: SocketAddr) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(&self.bytes()).await?;
        match self {
            Kind::Connections => {}
            Kind::Resets => stream.set_zero_linger()?,
            Kind::SlowHeads | Kind::Unread => tokio::time::sleep(KEPT).await,
            Kind::Frames | Kind::Nonsense => {
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
        let (mut flood, addr) = (Flood::default(), program.addr);
        for kind in KINDS.iter().flat_map(|kind| [*kind; EACH]) {
            flood.add(move || kind.once(addr));
        }
        let load = Load::begin(program.addr, 4).and_kept(program.addr, 4);
        for generation in 1..=3 {
            let report = program.command("reload").await;
            assert_eq!(report["Ok"]["generation"], generation, "{report}");
        }
        load.end().await;
        flood.end(&mut program).await;
        program.stop().await;
    })
    .await;
}
