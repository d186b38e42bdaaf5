//! What systemd passes to the program, and what the program reports to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use multi_node_it::program::fixture;
use multi_node_it::{Client, Plan, Program, needs, port, procfs, within};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::UnixDatagram;

/// The receiving side of a service manager.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
    /// Lines that were received but not asked for.
    heard: Vec<String>,
}

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        Manager { socket, folder, heard: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    async fn start(&self, plan: Plan, watchdog: Duration) -> Program {
        let watchdog = watchdog.as_micros().to_string();
        Program::run(&fixture(), plan, |command| {
            command.env("NOTIFY_SOCKET", self.path()).env("WATCHDOG_USEC", watchdog);
        })
        .await
    }

    /// The next line that begins so. Lines come in the order in which they were sent.
    async fn hears(&mut self, start: &str) -> String {
        loop {
            if let Some(at) = self.heard.iter().position(|line| line.starts_with(start)) {
                return self.heard.drain(..=at).next_back().expect("a line");
            }
            let mut bytes = [0; 4096];
            let count = self.socket.recv(&mut bytes).await.expect("a datagram");
            self.heard.extend(String::from_utf8_lossy(&bytes[..count]).lines().map(str::to_owned));
        }
    }
}

#[tokio::test]
async fn systemd_hears_of_start_reload_upgrade_and_end() {
    within(30, async {
        let mut manager = Manager::new();
        let mut program = manager.start(Plan::nodes(2), Duration::from_secs(60)).await;
        manager.hears("READY=1").await;
        manager.hears("STATUS=2 of 2 nodes serve").await;

        program.signal(Signal::HUP);
        manager.hears("RELOADING=1").await;
        let time = manager.hears("MONOTONIC_USEC=").await;
        assert!(time["MONOTONIC_USEC=".len()..].parse::<u64>().expect("a number") > 0);
        manager.hears("READY=1").await;

        program.signal(Signal::USR2);
        manager.hears("RELOADING=1").await;
        program.listens_again().await;
        manager.hears("READY=1").await;

        program.signal(Signal::TERM);
        manager.hears("STOPPING=1").await;
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn the_loop_feeds_the_watchdog() {
    within(30, async {
        let mut manager = Manager::new();
        let mut program = manager.start(Plan::nodes(1), Duration::from_millis(300)).await;
        for _ in 0..3 {
            manager.hears("WATCHDOG=1").await;
        }
        program.upgrade().await.expect("the new program takes over");
        manager.heard.clear();
        for _ in 0..3 {
            manager.hears("WATCHDOG=1").await;
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_service_manager_is_the_master_s_alone() {
    within(30, async {
        let manager = Manager::new();
        let mut program = manager.start(Plan::nodes(2), Duration::from_secs(60)).await;
        for pid in program.pids().await {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).expect("our process");
            let told = environ.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            let told: Vec<_> = told.filter(|is| is.starts_with("NOTIFY_") || is.starts_with("WATCHDOG_")).collect();
            assert!(told.is_empty(), "{told:?}");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_are_likelier_victims_than_the_master() {
    within(30, async {
        let score = |pid: u32| -> i32 {
            let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("our process");
            text.trim().parse().expect("a number")
        };
        let mut program = Program::serving(Plan::nodes(2)).await;
        let master = score(program.pid);
        assert!(program.pids().await.into_iter().all(|pid| score(pid) == (master + 100).min(1000)));
        program.stop().await;
    })
    .await;
}

/// systemd's own tool, which opens sockets.
const TOOL: &str = "systemd-socket-activate";

/// It opens the socket, and starts the program when the first client comes.
async fn activated(addr: SocketAddr, plan: Plan) -> (Program, Client) {
    let program = Program::launch(Path::new(TOOL), plan, |command| {
        command.args(["-l", &addr.to_string(), "-E", "FIXTURE", "-E", "RUST_LOG"]).arg(fixture());
    });
    loop {
        match Client::connect(addr).await {
            Ok(client) => return (program, client),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test]
async fn sockets_that_systemd_has_opened_are_served_and_pass_through_an_upgrade() {
    if !needs::program(TOOL) {
        return;
    }
    within(30, async {
        let port = port::Held::new().expect("a port");
        let addr = port.addr();
        let (mut program, mut client) = activated(addr, Plan { port: addr.port(), ..Plan::nodes(2) }).await;
        program.listens().await;
        assert_eq!(program.addrs, [addr.to_string()]);
        assert_eq!(client.get("/").await.expect("the first client is answered").status, 200);
        drop(client);
        program.upgrade().await.expect("the new program takes over");
        program.at_rest().await;
        program.get("/").await.expect("an answer");
        assert_eq!(procfs::name(program.pid).as_deref(), Some("fixture"));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_socket_of_systemd_goes_on_listening_for_the_next_start() {
    within(20, async {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let addr = socket.local_addr().expect("bound");
        let given = socket.try_clone().expect("a descriptor");
        let mut program = Program::run(Path::new("sh"), Plan { port: addr.port(), ..Plan::nodes(2) }, |command| {
            let take = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" 3<&0 </dev/null";
            command.arg("-c").arg(take).arg(fixture()).stdin(std::os::fd::OwnedFd::from(given));
        })
        .await;
        program.answering(2).await;
        program.signal(Signal::TERM);
        program.ends_well().await;
        let client = Client::connect(addr).await.expect("the socket listens still");
        let (_, peer) = socket.accept().expect("and the client waits in its queue");
        assert_eq!(Some(peer), client.local);
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_the_program_does_not_serve_is_an_error() {
    if !needs::program(TOOL) {
        return;
    }
    within(30, async {
        let (port, other) = (port::Held::new().expect("a port"), port::Held::new().expect("another"));
        let plan = Plan { port: other.addr().port(), ..Plan::nodes(1) };
        let (mut program, _client) = activated(port.addr(), plan).await;
        assert_eq!(program.exit().await, Some(1));
        let why = format!("cannot listen on {}: LISTEN_FDS has it, and the program does not serve it", port.addr());
        assert!(program.log().to_lowercase().contains(&why.to_lowercase()), "{}", program.log());
    })
    .await;
}
