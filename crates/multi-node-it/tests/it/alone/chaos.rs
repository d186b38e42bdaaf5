//! Chaos: whatever is done to a program at random, clients lose what killed processes held and nothing else, and in the
//! end nothing is left over.
//!
//! `CHAOS_SEED` repeats the decisions of a run, `CHAOS_SECONDS` makes it longer.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use multi_node::Status;
use multi_node_bench::kills::Kills;
use multi_node_bench::requests;
use multi_node_it::program::Ticket;
use multi_node_it::{Plan, Program, limits, procfs, send, within};
use multi_node_probe::{Kind, Load, Lost, Plan as LoadPlan};
use rustix::process::Signal;

/// Slots at the beginning and in the end.
const NODES: usize = 4;
/// The most that a scale asks for.
const MOST_NODES: usize = 7;

/// What is done at random.
#[derive(Clone, Copy, Debug)]
enum Event {
    Kill,
    /// Stopped for a while, then continued.
    Stop,
    Reload,
    Restart,
    Scale,
    /// With nothing else meanwhile but a kill.
    Upgrade,
    /// No further descriptors for a while.
    FewFiles,
}

const EVENTS: [Event; 7] =
    [Event::Kill, Event::Stop, Event::Reload, Event::Restart, Event::Scale, Event::Upgrade, Event::FewFiles];

/// A program in chaos.
struct Chaos {
    program: Program,
    rng: Rng,
    kills: Kills,
    orders: Vec<Ticket>,
    history: Vec<String>,
    /// What is taken back, and when.
    relief: Vec<(Instant, Relief)>,
    start: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Relief {
    Continue(u32),
    Files(u32, u64),
}

/// What a program has while nobody talks to it: descriptors of its master and of each node.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    master: Option<usize>,
    nodes: Vec<Option<usize>>,
}

#[tokio::test]
async fn nothing_is_lost_but_by_kills_and_nothing_is_left() {
    let seed = from_env("CHAOS_SEED").unwrap_or_else(random_seed);
    let seconds = from_env("CHAOS_SECONDS").unwrap_or(12);
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    within(seconds + 60, run(seed, Duration::from_secs(seconds))).await;
}

async fn run(seed: u64, time: Duration) {
    let mut chaos = Chaos::new(seed).await;
    let before = chaos.belongings_when_joined().await;
    let load = Load::start(&clients(chaos.program.addr, seed));
    while chaos.start.elapsed() < time {
        chaos.act().await;
        let pause = chaos.rng.u64(5..250);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        chaos.relieve(Instant::now());
    }
    chaos.settle().await;
    let tally = tokio::task::spawn_blocking(|| load.end()).await.expect("no client panics");
    let (lost, killed) = (tally.lost().len(), chaos.kills.count());
    println!("{} events; {} answered, {lost} lost in {killed} kills", chaos.history.len(), tally.answered());
    let unexplained: Vec<Lost> = tally.lost().into_iter().filter(|lost| !chaos.kills.explain(lost)).collect();
    let shown = unexplained.iter().map(|lost| chaos.describe(lost)).collect::<Vec<_>>();
    assert!(shown.is_empty(), "{} lost:\n{}\n{}", shown.len(), shown.join("\n"), chaos.history.join("\n"));
    assert!(tally.answered() > 1000, "only {} requests were answered", tally.answered());
    chaos.leaves_nothing(&before).await;
    chaos.program.stop().await;
}

fn from_env<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now.as_secs()
}

fn clients(addr: SocketAddr, seed: u64) -> LoadPlan {
    let clients = [
        (Kind::Kept, 16),
        (Kind::New, 4),
        (Kind::Pooled, 64),
        (Kind::SlowAnswer, 8),
        (Kind::Large, 2),
        (Kind::WebSocket, 8),
    ];
    requests::plan(addr, &clients, Duration::from_secs(5), Duration::from_secs(20), seed)
}

impl Chaos {
    async fn new(seed: u64) -> Chaos {
        let plan = Plan {
            max_nodes: MOST_NODES,
            backoff: (Duration::from_millis(10), Duration::from_millis(20)),
            crash_loop: (1000, Duration::from_secs(1)),
            ..Plan::nodes(NODES)
        };
        Chaos {
            program: Program::serving(plan).await,
            rng: Rng::with_seed(seed),
            kills: Kills::default(),
            orders: Vec::new(),
            history: Vec::new(),
            relief: Vec::new(),
            start: Instant::now(),
        }
    }

    async fn act(&mut self) {
        let event = EVENTS[self.rng.usize(..EVENTS.len())];
        let pids: Vec<u32> = self.program.status().await.slots.iter().filter_map(|slot| slot.pid).collect();
        let pid = pids.get(self.rng.usize(..pids.len().max(1))).copied();
        let (slot, nodes) = (self.rng.usize(..NODES), self.rng.usize(1..=MOST_NODES));
        match (event, pid) {
            (Event::Reload, _) => self.order("reload").await,
            (Event::Restart, _) => self.order(&format!("restart {slot}")).await,
            (Event::Scale, _) => self.order(&format!("scale {nodes}")).await,
            (Event::Upgrade, _) => self.upgrade().await,
            (Event::Kill, Some(pid)) => self.kill(pid),
            (Event::Stop, Some(pid)) => self.stop(pid),
            (Event::FewFiles, Some(pid)) => self.take_files(pid),
            (_, None) => {}
        }
    }

    /// Orders run beside whatever else is done, and may be refused while another one runs.
    async fn order(&mut self, order: &str) {
        self.note(order);
        self.orders.push(self.program.send(order).await);
    }

    fn kill(&mut self, pid: u32) {
        self.note(format_args!("kill {pid}"));
        if let Err(error) = self.kills.kill(pid, self.program.addr.port()) {
            assert!(!procfs::is_alive(pid), "cannot kill {pid}: {error}");
        }
    }

    fn stop(&mut self, pid: u32) {
        let time = Duration::from_millis(self.rng.u64(10..800));
        if self.is_troubled(pid) || !procfs::is_alive(pid) {
            return;
        }
        self.note(format_args!("stop {pid} for {time:?}"));
        send(pid, Signal::STOP);
        self.relief.push((Instant::now() + time, Relief::Continue(pid)));
    }

    fn take_files(&mut self, pid: u32) {
        let time = Duration::from_millis(self.rng.u64(10..800));
        // A node has its reserve in hand but for a moment, so the highest of some looks is the highest.
        let highest = (0..5).filter_map(|_| procfs::highest_fd(pid)).max();
        let Some(highest) = highest.filter(|_| !self.is_troubled(pid)) else { return };
        self.note(format_args!("no file above {highest} for {pid} for {time:?}"));
        let before = limits::limit_open_files(pid, highest + 1);
        self.relief.push((Instant::now() + time, Relief::Files(pid, before)));
    }

    fn is_troubled(&self, pid: u32) -> bool {
        self.relief.iter().any(|(_, relief)| matches!(relief, Relief::Continue(p) | Relief::Files(p, _) if *p == pid))
    }

    /// Takes back what is due.
    fn relieve(&mut self, now: Instant) {
        let (due, later) = self.relief.drain(..).partition(|(at, _)| *at <= now);
        self.relief = later;
        let due: Vec<(Instant, Relief)> = due;
        // Who was killed or has drained meanwhile needs none.
        for relief in due.into_iter().map(|(_, relief)| relief) {
            match relief {
                Relief::Continue(pid) if procfs::is_alive(pid) => send(pid, Signal::CONT),
                Relief::Files(pid, count) if procfs::is_alive(pid) => drop(limits::limit_open_files(pid, count)),
                _ => {}
            }
        }
    }

    /// The next program would not know of this one's orders. A child may be killed meanwhile, be it a node, old or new, or
    /// the trial: then the old program may stay.
    async fn upgrade(&mut self) {
        self.come_to_rest().await;
        let kills_after = self.rng.bool().then(|| Duration::from_millis(self.rng.u64(..250)));
        self.note("upgrade");
        let order = self.program.send("upgrade").await;
        if let Some(time) = kills_after {
            tokio::time::sleep(time).await;
            let children = procfs::children(self.program.pid);
            children.get(self.rng.usize(..children.len().max(1))).into_iter().for_each(|pid| self.kill(*pid));
        }
        match self.program.succeeded(order).await {
            Ok(()) => {}
            Err(answer) if kills_after.is_some() => assert!(answer["Err"]["failed"].is_object(), "{answer}"),
            Err(answer) => panic!("the new program does not take over: {answer}"),
        }
    }

    /// Takes everything back, and lets all orders end.
    async fn come_to_rest(&mut self) {
        self.relieve(Instant::now() + Duration::from_secs(3600));
        for ticket in std::mem::take(&mut self.orders) {
            let answer = self.program.answer(ticket).await;
            assert!(answer["Ok"].is_object() || answer["Err"].is_object() || answer["Err"].is_string(), "{answer}");
        }
        self.program.at_rest().await;
    }

    /// Comes to rest with the first number of slots, all of one generation: the master keeps the image of each that has nodes.
    async fn settle(&mut self) {
        self.come_to_rest().await;
        for order in [&format!("scale {NODES}"), "reload"] {
            let answer = self.program.order(order).await;
            assert!(answer["Ok"].is_object(), "{order}: {answer}");
            self.program.at_rest().await;
        }
    }

    async fn belongings(&mut self) -> Belongings {
        let nodes = self.program.pids().await.into_iter().map(procfs::fds).collect();
        Belongings { master: procfs::fds(self.program.pid), nodes }
    }

    /// The same once every node is joined with all others: then each has as much as the next.
    async fn belongings_when_joined(&mut self) -> Belongings {
        loop {
            let now = self.belongings().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            if now.nodes.iter().all(|fds| *fds == now.nodes[0]) && self.belongings().await == now {
                return now;
            }
        }
    }

    /// Waits until the program has what it had before: no further process or descriptor, no connection, no request.
    async fn leaves_nothing(&mut self, before: &Belongings) {
        let idle = |status: &Status| status.slots.iter().all(|slot| (slot.connections, slot.in_flight) == (0, 0));
        let status = self.program.status_where(idle).await;
        let told: BTreeSet<u32> = status.slots.iter().filter_map(|slot| slot.pid).collect();
        let children: BTreeSet<u32> = procfs::children(self.program.pid).into_iter().collect();
        assert_eq!(told, children, "the status tells of other processes than there are");
        let limit = Instant::now() + Duration::from_secs(10);
        let mut after = self.belongings().await;
        while after != *before && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(20)).await;
            after = self.belongings().await;
        }
        assert_eq!(after, *before, "descriptors are left over");
    }

    fn note(&mut self, what: impl Display) {
        self.history.push(format!("{:>8.3?} {what}", self.start.elapsed()));
    }

    fn describe(&self, lost: &Lost) -> String {
        let opened = lost.connection.map(|(port, at)| format!("port {port}, open since {:.3?}", at - self.start));
        let at = lost.at - self.start;
        format!("{at:>8.3?} {} {}; {}", lost.kind.name(), lost.failure, opened.unwrap_or_default())
    }
}
