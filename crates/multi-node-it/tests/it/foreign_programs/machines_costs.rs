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

/// What was measured, per second and in bytes.
#[derive(Debug, Default)]
struct Costs {
    joined: Duration,
    /// Messages and bytes to NATS and from it, of three machines.
    traffic: [f64; 4],
    cpu: f64,
    /// Of the gateway, the master and a node.
    memory: [u64; 3],
    many: Many,
}

/// The same with 97 more machines.
#[derive(Debug, Default)]
struct Many {
    known: Duration,
    cpu: f64,
    memory: [u64; 3],
}

impl Costs {
    /// The table of docs/machines.md. Traffic of 100 machines is that of each of the three, and what one costs the gateways that hear it.
    fn table(&self) -> String {
        let Costs { joined, traffic, cpu, memory, many } = self;
        let [messages, bytes, out_messages, out_bytes] = traffic;
        let (three, all) = (NAMES.len() as f64, PRETENDED as f64 + NAMES.len() as f64);
        let of_all = |of_three: f64| of_three / three * all;
        // Each pretended machine says one thing in two seconds.
        let a_message = (many.cpu - cpu).max(0.0) / (PRETENDED as f64 / 2.0);
        let cpu_of_all = cpu + a_message * (of_all(*messages) - messages);
        let [gateway, master, node] = [0, 1, 2].map(|index| (memory[index], many.memory[index]));
        let mib = |(small, large): (u64, u64)| {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            format!("{:.1} MiB | {:.1} MiB, measured", mib(small), mib(large))
        };
        let rows = [
            format!(
                "to NATS each second | {messages:.1} messages, {bytes:.0} B | {:.0} messages, {:.0} KB",
                of_all(*messages),
                of_all(*bytes) / 1000.0
            ),
            format!(
                "from NATS each second | {out_messages:.0} messages, {out_bytes:.0} B | {:.0} messages, {:.1} MB",
                of_all(*messages) * (all - 1.0),
                of_all(*bytes) * (all - 1.0) / 1e6
            ),
            format!("CPU of a gateway | {:.1} ms each second | {:.0} ms each second", cpu * 1e3, cpu_of_all * 1e3),
            format!("memory of a gateway | {}", mib(gateway)),
            format!("of a master | {}", mib(master)),
            format!("of a node | {}", mib(node)),
            format!(
                "until a new machine is known | {:.1} s | {:.1} s for 97 new ones, measured",
                joined.as_secs_f64(),
                many.known.as_secs_f64()
            ),
            "until a lost one is | 6 to 8 s | the same".to_owned(),
        ];
        format!(
            "| | 3 × {NODES} nodes, measured | {all} × {THEIR_NODES}, computed |\n|---|---|---|\n| {} |",
            rows.join(" |\n| ")
        )
    }
}

/// What is spent in this time: traffic, and the CPU time of a process.
async fn at_rest(part: Duration, monitor: SocketAddr, pid: u32) -> ([f64; 4], f64) {
    let (before, cpu) = (traffic(monitor).await, procfs::cpu_time(pid));
    sleep(part).await;
    let (after, cpu) = (traffic(monitor).await, procfs::cpu_time(pid) - cpu);
    let seconds = part.as_secs_f64();
    ([0, 1, 2, 3].map(|index| (after[index] - before[index]) / seconds), cpu.as_secs_f64() / seconds)
}

/// This machine gets to know of many that are none. `pids`: of its gateway, its master and a node.
async fn many(server: &NatsServer, program: &mut Program, part: Duration, pids: [u32; 3]) -> Many {
    let machines: Vec<_> = (0..PRETENDED).map(Pretended::new).collect();
    let mut stream = TcpStream::connect(server.addr()).await.expect("it listens");
    stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").await.expect("it reads");
    let begun = Instant::now();
    say(&mut stream, machines.iter().map(Pretended::fleet)).await;
    let is_known = |now: &Value| {
        let machines = now["machines"].as_array().expect("a list");
        machines.iter().filter(|one| one["reachable"] == true).count() as u64 == PRETENDED + NAMES.len() as u64 - 1
    };
    until(program, "/machines", is_known).await;
    let (known, cpu) = (begun.elapsed(), procfs::cpu_time(pids[0]));
    for _ in 0..part.as_secs() / 2 {
        say(&mut stream, machines.iter().map(Pretended::alive)).await;
        sleep(Duration::from_secs(2)).await;
    }
    let cpu = (procfs::cpu_time(pids[0]) - cpu).as_secs_f64() / part.as_secs_f64();
    // They were alive for all the time.
    until(program, "/machines", is_known).await;
    Many { known, cpu, memory: pids.map(procfs::resident) }
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
        let mut programs = [alpha, beta, serving(NAMES[2]).await];
        let begun = Instant::now();
        all_known(&mut programs).await;
        let joined = begun.elapsed();
        let pid = gateway(&mut programs[0]).await;
        let pids = [pid, programs[0].pid, programs[0].pids().await[0]];
        let (traffic, cpu) = at_rest(part, monitor.addr(), pid).await;
        let memory = pids.map(procfs::resident);
        let many = many(&server, &mut programs[0], part, pids).await;
        println!("{}", Costs { joined, traffic, cpu, memory, many }.table());
        for program in programs {
            program.stop().await;
        }
    })
    .await;
}
