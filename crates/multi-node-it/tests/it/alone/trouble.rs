//! What is done to a program at random, decided by a seed: kills, reloads, upgrades… Each is noted, and each kill is counted.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use multi_node_bench::kills::Kills;
use multi_node_it::program::Ticket;
use multi_node_it::{Plan, Program, limits, procfs, send};
use rustix::process::Signal;

/// Slots at the beginning and in the end.
const NODES: usize = 4;
/// The most that a scale asks for.
const MOST_NODES: usize = 7;

/// What is done at random.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
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

/// A program to which things are done at random.
pub(super) struct Trouble {
    pub(super) program: Program,
    pub(super) kills: Kills,
    pub(super) history: Vec<String>,
    pub(super) start: Instant,
    rng: Rng,
    recycles: bool,
    /// Each is as likely as the others.
    events: &'static [Event],
    commands: Vec<Ticket>,
    /// What is taken back, and when.
    relief: Vec<(Instant, Relief)>,
}

#[derive(Clone, Copy, Debug)]
enum Relief {
    Continue(u32),
    Files(u32, u64),
}

pub(super) fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    now.as_secs()
}

/// A plan that bears it.
pub(super) fn plan() -> Plan {
    Plan {
        max_nodes: MOST_NODES,
        hand_off_when_busy: true,
        backoff: (Duration::from_millis(10), Duration::from_millis(20)),
        crash_loop: (1000, Duration::from_secs(1)),
        ..Plan::nodes(NODES)
    }
}

impl Trouble {
    pub(super) async fn new(plan: Plan, events: &'static [Event], seed: u64) -> Trouble {
        Trouble {
            recycles: plan.recycling.max_requests.is_some(),
            program: Program::serving(plan).await,
            kills: Kills::default(),
            history: Vec::new(),
            start: Instant::now(),
            rng: Rng::with_seed(seed),
            events,
            commands: Vec::new(),
            relief: Vec::new(),
        }
    }

    /// Acts for so long.
    pub(super) async fn go_on(&mut self, time: Duration) {
        while self.start.elapsed() < time {
            self.act().await;
            let pause = self.rng.u64(5..250);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.relieve(Instant::now());
        }
    }

    async fn act(&mut self) {
        let event = self.events[self.rng.usize(..self.events.len())];
        let pids: Vec<u32> = self.program.status().await.slots.iter().filter_map(|slot| slot.pid).collect();
        let pid = pids.get(self.rng.usize(..pids.len().max(1))).copied();
        let (slot, nodes) = (self.rng.usize(..NODES), self.rng.usize(1..=MOST_NODES));
        match (event, pid) {
            (Event::Reload, _) => self.command("reload").await,
            (Event::Restart, _) => self.command(&format!("restart {slot}")).await,
            (Event::Scale, _) => self.command(&format!("scale {nodes}")).await,
            (Event::Upgrade, _) => self.upgrade().await,
            (Event::Kill, Some(pid)) => self.kill(pid),
            (Event::Stop, Some(pid)) => self.stop(pid),
            (Event::FewFiles, Some(pid)) => self.take_files(pid),
            (_, None) => {}
        }
    }

    /// Commands run beside whatever else is done, and may be refused while another one runs.
    async fn command(&mut self, command: &str) {
        self.note(command);
        self.commands.push(self.program.send(command).await);
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

    /// The next program would not know of this one's commands. A child may be killed meanwhile, be it a node, old or new, or
    /// the trial: then the old program may stay.
    async fn upgrade(&mut self) {
        self.end_commands().await;
        let kills_after = self.rng.bool().then(|| Duration::from_millis(self.rng.u64(..250)));
        self.note("upgrade");
        let command = self.program.send("upgrade").await;
        if let Some(time) = kills_after {
            tokio::time::sleep(time).await;
            let children = procfs::children(self.program.pid);
            children.get(self.rng.usize(..children.len().max(1))).into_iter().for_each(|pid| self.kill(*pid));
        }
        match self.program.succeeded(command).await {
            Ok(()) => {}
            Err(answer) if kills_after.is_some() => assert!(answer["Err"]["failed"].is_object(), "{answer}"),
            Err(answer) => panic!("the new program does not take over: {answer}"),
        }
    }

    /// Takes everything back, and lets all commands end. A program that recycles its nodes is not waited for: there is always one that leaves.
    pub(super) async fn end_commands(&mut self) {
        self.relieve(Instant::now() + Duration::from_secs(3600));
        for ticket in std::mem::take(&mut self.commands) {
            let answer = self.program.answer(ticket).await;
            assert!(answer["Ok"].is_object() || answer["Err"].is_object() || answer["Err"].is_string(), "{answer}");
        }
        if !self.recycles {
            self.program.at_rest().await;
        }
    }

    /// Comes to rest with the first number of slots, all of one generation: the master keeps the image of each that has nodes.
    pub(super) async fn settle(&mut self) {
        self.end_commands().await;
        for command in [&format!("scale {NODES}"), "reload"] {
            let answer = self.program.command(command).await;
            assert!(answer["Ok"].is_object(), "{command}: {answer}");
            self.program.at_rest().await;
        }
    }

    fn note(&mut self, what: impl Display) {
        self.history.push(format!("{:>8.3?} {what}", self.start.elapsed()));
    }
}
