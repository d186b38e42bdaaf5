//! What it costs that machines know of each other: three machines of eight nodes, and then 97 of 64 nodes that the test pretends. It prints the
//! figures of docs/machines.md; `COSTS_SECONDS` is the length of each part.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use multi_node_it::nats::NatsServer;
use multi_node_it::port::Held;
use multi_node_it::{Plan, Program, from_env, procfs, within};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::joined::until;
use super::machines::{gateway, plan};

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
const NODES: usize = 8;

/// So there are 100 machines.
const PRETENDED: u64 = 97;
const THEIR_NODES: u64 = 64;

/// What the server has received and sent: messages and bytes.
async fn traffic(monitor: SocketAddr) -> [f64; 4] {
    let mut stream = TcpStream::connect(monitor).await.expect("it listens");
    stream.write_all(b"GET /varz HTTP/1.0\r\n\r\n").await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    ["in_msgs", "in_bytes", "out_msgs", "out_bytes"].map(|field| status[field].as_f64().expect("a number"))
}

/// Until every machine knows that all nodes of the two others serve.
async fn all_known(programs: &mut [Program]) {
    for program in programs {
        let is_known = |known: &Value| {
            let machines = known["machines"].as_array().expect("a list");
            machines.iter().filter(|one| one["reachable"] == true && one["serving"] == NODES).count() == NAMES.len() - 1
        };
        until(program, "/machines", is_known).await;
    }
}

/// A machine that is none.
struct Pretended {
    begin: Vec<u8>,
    wanted: u16,
    processes: Vec<u8>,
}

impl Pretended {
    fn new(number: u64) -> Pretended {
        let name = format!("m{number:02}");
        let begin = [&[u8::try_from(name.len()).expect("short")], name.as_bytes(), &1_u64.to_le_bytes()].concat();
        let process = |number: u64| {
            let (slot, pid) = (u16::try_from(number).expect("few"), 1000 + u32::try_from(number).expect("few"));
            [&number.to_le_bytes()[..], &slot.to_le_bytes(), &pid.to_le_bytes(), &[3], &0_u32.to_le_bytes()].concat()
        };
        let wanted = u16::try_from(THEIR_NODES).expect("few");
        Pretended { begin, wanted, processes: (1..=THEIR_NODES).flat_map(process).collect() }
    }

    fn fleet(&self) -> Vec<u8> {
        [&[1, 6], &self.begin[..], &self.wanted.to_le_bytes(), &self.processes].concat()
    }

    fn alive(&self) -> Vec<u8> {
        let digested = [&usize::from(self.wanted).to_le_bytes()[..], &self.processes].concat();
        let digest = digested.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        [&[1, 7], &self.begin[..], &digest.to_le_bytes()].concat()
    }
}

/// Publishes these frames where machines speak of themselves.
async fn say(stream: &mut TcpStream, frames: impl Iterator<Item = Vec<u8>>) {
    for frame in frames {
        let line = format!("PUB mn.test.i {}\r\n", frame.len());
        stream.write_all(&[line.as_bytes(), &frame, b"\r\n"].concat()).await.expect("it reads");
    }
}

async fn said_and_known(stream: &mut TcpStream, machines: &[Pretended], program: &mut Program) {
    say(stream, machines.iter().map(Pretended::fleet)).await;
    let known = machines.len() + NAMES.len() - 1;
    until(program, "/machines", |now| now["machines"].as_array().is_some_and(|list| list.len() == known)).await;
}

#[tokio::test]
async fn what_presence_costs() {
    let Some(server) = NatsServer::new() else { return };
    let monitor = Held::new().expect("a port");
    let mut server = server.configured(format!("http: \"{}\"", monitor.addr()));
    server.start().await;
    let seconds: u64 = from_env("COSTS_SECONDS").unwrap_or(10);
    let part = Duration::from_secs(seconds);
    within(120 + 3 * seconds, async {
        let serving = |name| Program::serving(Plan { nodes: NODES, ..plan(&server, name) });
        let (alpha, beta) = tokio::join!(serving(NAMES[0]), serving(NAMES[1]));
        let begun = Instant::now();
        let mut programs = [alpha, beta, serving(NAMES[2]).await];
        let served = begun.elapsed();
        all_known(&mut programs).await;
        println!("a third machine served after {served:.1?}, and all knew each other {:.1?} later", begun.elapsed() - served);

        let pid = gateway(&mut programs[0]).await;
        let (before, cpu) = (traffic(monitor.addr()).await, procfs::cpu_time(pid));
        sleep(part).await;
        let (after, cpu) = (traffic(monitor.addr()).await, procfs::cpu_time(pid) - cpu);
        let [in_msgs, in_bytes, out_msgs, out_bytes] =
            [0, 1, 2, 3].map(|index| (after[index] - before[index]) / part.as_secs_f64());
        println!(
            "at rest, all three: {in_msgs:.1} messages and {in_bytes:.0} bytes a second to NATS, {out_msgs:.1} and {out_bytes:.0} from it"
        );
        println!("a gateway at rest: {:.2} ms CPU a second", cpu.as_secs_f64() * 1000.0 / part.as_secs_f64());

        let master = programs[0].pid;
        let node = programs[0].pids().await[0];
        let resident = || [pid, master, node].map(procfs::resident);
        let (machines, small) = ((0..PRETENDED).map(Pretended::new).collect::<Vec<_>>(), resident());
        let mut stream = TcpStream::connect(server.addr()).await.expect("it listens");
        stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").await.expect("it reads");
        let begun = Instant::now();
        said_and_known(&mut stream, &machines, &mut programs[0]).await;
        println!("{PRETENDED} machines of {THEIR_NODES} nodes were known in a node after {:.0?}", begun.elapsed());
        let cpu = procfs::cpu_time(pid);
        for _ in 0..seconds / 2 {
            say(&mut stream, machines.iter().map(Pretended::alive)).await;
            sleep(Duration::from_secs(2)).await;
        }
        let cpu = procfs::cpu_time(pid) - cpu;
        println!("a gateway that hears {} machines: {:.2} ms CPU a second", PRETENDED + 2, cpu.as_secs_f64() * 1000.0 / part.as_secs_f64());
        let processes = PRETENDED * THEIR_NODES;
        for ((who, small), large) in ["a gateway", "a master", "a node"].iter().zip(small).zip(resident()) {
            println!("{who}: {small} bytes, and {} for each of {processes} processes", large.saturating_sub(small) / processes);
        }
        let known = until(&mut programs[0], "/machines", |_| true).await;
        let reachable = known["machines"].as_array().expect("a list").iter().filter(|one| one["reachable"] == true).count();
        assert_eq!(reachable, machines.len() + NAMES.len() - 1, "all are known and alive");
        for program in programs {
            program.stop().await;
        }
    })
    .await;
}
