//! Several acceptors in one process, each with its runtime on a thread of its own, as if they were processes. They measure how load
//! falls, so no other test runs meanwhile.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use multi_node_sys::epoll::monotonic_ms;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::queue::LOOK_AROUND;
use crate::gate::WINDOW_MS;
use crate::load::LoadTable;
use crate::serving::DrainReport;
use crate::{Conn, Drain, Here, Place, Socket, start, tcp, wake_fd};

/// No test takes longer; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(30);

struct Fleet {
    listener: TcpListener,
    load: LoadTable,
    wake_fd: OwnedFd,
    nodes: Vec<Node>,
}

/// A runtime that serves from its own line.
struct Node {
    commands: UnboundedSender<Command>,
    acceptor: super::Acceptor,
    thread: JoinHandle<DrainReport>,
}

enum Command {
    Block(Blocked),
    Drain,
}

/// Reports when it begins, and ends when the test lets it.
struct Blocked {
    begins: mpsc::Sender<()>,
    ends: mpsc::Receiver<()>,
}

impl Fleet {
    fn new(nodes: usize) -> Fleet {
        Fleet::with_room(nodes, nodes)
    }

    fn with_room(nodes: usize, lines: usize) -> Fleet {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        rustix::net::listen(&listener, 4096).expect("a longer queue");
        listener.set_nonblocking(true).expect("a socket can be");
        let (load, wake_fd) = (LoadTable::on_heap(lines), wake_fd().expect("an eventfd"));
        let mut fleet = Fleet { listener, load, wake_fd, nodes: Vec::new() };
        (0..nodes).for_each(|_| fleet.add());
        fleet
    }

    fn add(&mut self) {
        let line = self.nodes.len();
        let wake_fd = Some(self.wake_fd.try_clone().expect("files are left"));
        let place = Place { wake_fd, ..Place::new(self.load.clone(), line) };
        let socket = Socket::Tcp(self.listener.try_clone().expect("files are left"));
        let (commands, mut receive) = unbounded_channel();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::spawn(beat(place.load.clone(), line));
                let (drain, signal) = Drain::new();
                let server = tcp(move |conn| greet(conn, line));
                let mut serving =
                    start(server.into(), vec![vec![socket]], place, Here, signal).await.expect("it starts");
                ready.send(serving.acceptor()).expect("the test waits");
                loop {
                    match receive.recv().await {
                        Some(Command::Block(blocked)) => {
                            blocked.begins.send(()).expect("the test waits");
                            // An error means that the test has dropped the other side.
                            let _ = blocked.ends.recv_timeout(LIMIT);
                        }
                        Some(Command::Drain) => break drain.begin(LIMIT),
                        None => return DrainReport::default(),
                    }
                }
                serving.drained().await
            })
        });
        let acceptor = started.recv_timeout(LIMIT).expect("it starts");
        self.nodes.push(Node { commands, acceptor, thread });
        self.settle();
    }

    /// Waits until every node waits for connections or was refused.
    fn settle(&self) {
        wait_for("all nodes to be placed", || self.nodes.iter().all(|node| node.acceptor.is_placed()));
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("it can have one");
        stream
    }

    /// Opens a connection and keeps it.
    fn open(&self) -> (usize, TcpStream) {
        let mut stream = self.connect();
        (greeting(&mut stream), stream)
    }

    /// Opens a connection, which ends before this returns; says who took it.
    fn short(&self) -> usize {
        let (node, mut stream) = self.open();
        stream.shutdown(Shutdown::Write).expect("it is open");
        let _ = stream.read(&mut [0]);
        node
    }

    /// Lets the node take its turn once more, after which it is refused for having too many connections.
    fn until_refused(&self, node: usize) {
        wait_for("the node to be refused", || {
            self.short();
            self.nodes[node].acceptor.is_asleep()
        });
    }

    fn drain(&self, node: usize) {
        self.nodes[node].commands.send(Command::Drain).expect("it runs");
    }

    /// Returns when the node's runtime is blocked, which it is until what this returns is dropped.
    #[must_use = "it ends when this is dropped"]
    fn block(&self, node: usize) -> mpsc::Sender<()> {
        let ((begins, begun), (end, ends)) = (mpsc::channel(), mpsc::channel());
        self.nodes[node].commands.send(Command::Block(Blocked { begins, ends })).expect("it runs");
        begun.recv_timeout(LIMIT).expect("it is blocked");
        end
    }

    fn disturbances(&self) -> u64 {
        self.nodes.iter().map(|node| node.acceptor.disturbances()).sum()
    }

    fn open_counts(&self) -> Vec<u64> {
        (0..self.nodes.len()).map(|line| self.load.counts(line).open).collect()
    }

    fn until_open(&self, all: u64) {
        wait_for("connections to be counted", || self.open_counts().iter().sum::<u64>() == all);
    }
}

fn wait_for(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < LIMIT, "failed waiting for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

async fn beat(load: LoadTable, line: usize) {
    let line = load.line(line).expect("there is one");
    loop {
        line.beat(monotonic_ms());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Sends who serves, and waits for the client's end.
async fn greet(mut conn: Conn<Here>, node: usize) {
    let node = u8::try_from(node).expect("few nodes");
    let _ = conn.stream.write_all(&[node]).await;
    let _ = tokio::io::copy(&mut conn.stream, &mut tokio::io::sink()).await;
}

fn greeting(stream: &mut TcpStream) -> usize {
    let mut node = [0];
    stream.read_exact(&mut node).expect("somebody serves");
    usize::from(node[0])
}

fn tally(nodes: usize, takers: impl IntoIterator<Item = usize>) -> Vec<usize> {
    takers.into_iter().fold(vec![0; nodes], |mut counts, node| {
        counts[node] += 1;
        counts
    })
}

/// Only one fleet at a time: what is tested here is who gets connections if everybody has a processor when he needs one.
fn quiet() -> std::sync::MutexGuard<'static, ()> {
    static QUIET: std::sync::Mutex<()> = std::sync::Mutex::new(());
    QUIET.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How often each took connections, in a trial in which that is fair or in which everybody did his part in time. Where a runtime
/// is so late that others take its connections, as on a busy machine, an unfair trial says nothing, and there is another.
fn fair_trial(trial: impl Fn(&mut Option<Fleet>) -> Vec<usize>, is_fair: impl Fn(&[usize]) -> bool) {
    fair_trial_within(Duration::MAX, trial, is_fair);
}

/// The same of a trial that says something only if it takes no longer.
fn fair_trial_within(
    most: Duration,
    trial: impl Fn(&mut Option<Fleet>) -> Vec<usize>,
    is_fair: impl Fn(&[usize]) -> bool,
) {
    let begun = Instant::now();
    while begun.elapsed() < 2 * LIMIT {
        let (mut fleet, started, before) = (None, Instant::now(), waits_for_processors());
        let takers = trial(&mut fleet);
        let fleet = fleet.expect("the trial has left its fleet");
        let counts = tally(fleet.nodes.len(), takers);
        match started.elapsed() < most {
            true if is_fair(&counts) => return,
            true => {}
            false => continue,
        }
        // The kernel passes over a runtime that has no processor, and nobody notices.
        let waits = waits_for_processors().into_iter();
        let waited: u64 = waits.map(|(thread, waited)| waited - before.get(&thread).unwrap_or(&0)).sum();
        let disturbed = fleet.disturbances() > 0 || Duration::from_nanos(waited) > started.elapsed() / 4;
        assert!(disturbed, "{counts:?}");
    }
    panic!("this machine is too busy: in each trial somebody was late");
}

/// For each thread of this process, how many nanoseconds it could run and had no processor (sched-stats in the kernel's
/// documentation).
fn waits_for_processors() -> HashMap<OsString, u64> {
    let waited = |thread: std::fs::DirEntry| {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), times.split_ascii_whitespace().nth(1)?.parse().ok()?))
    };
    std::fs::read_dir("/proc/self/task")
        .expect("the system tells of its threads")
        .flatten()
        .filter_map(waited)
        .collect()
}

#[test]
fn short_connections_go_round() {
    let _quiet = quiet();
    // In each time in which connections are recent a process may have a few less than its share.
    let trial = |fleet: &mut Option<Fleet>| {
        let fleet = fleet.insert(Fleet::new(4));
        (0..400).map(|_| fleet.short()).collect()
    };
    fair_trial_within(Duration::from_millis(WINDOW_MS), trial, |counts| {
        counts.iter().all(|count| (90..=110).contains(count))
    });
}

#[test]
fn kept_connections_opened_one_by_one_are_even() {
    let _quiet = quiet();
    let trial = |fleet: &mut Option<Fleet>| {
        let fleet = fleet.insert(Fleet::new(8));
        let kept: Vec<_> = (0..64).map(|_| fleet.open()).collect();
        kept.iter().map(|kept| kept.0).collect()
    };
    fair_trial(trial, |counts| counts.iter().all(|&count| count <= 10));
}

#[test]
fn kept_connections_opened_at_once_are_even() {
    let _quiet = quiet();
    let trial = |fleet: &mut Option<Fleet>| {
        let fleet = fleet.insert(Fleet::new(8));
        let mut streams: Vec<_> = (0..64).map(|_| fleet.connect()).collect();
        streams.iter_mut().map(greeting).collect()
    };
    fair_trial(trial, |counts| counts.iter().all(|&count| count <= 10));
}

#[test]
fn nobody_waits_for_a_blocked_runtime() {
    let _quiet = quiet();
    let fleet = Fleet::new(4);
    (0..8).for_each(|_| assert!(fleet.short() < 4));
    let blocked = fleet.block(0);
    // Not `short`: a connection that the blocked node took before it was blocked would end late.
    let takers: Vec<usize> = (0..60).map(|_| fleet.open().0).collect();
    assert!(!takers.contains(&0), "{takers:?}");
    drop(blocked);
    wait_for("the node to take part again", || fleet.short() == 0);
}

#[test]
fn an_idle_fleet_sleeps() {
    let _quiet = quiet();
    let fleet = Fleet::new(4);
    (0..8).for_each(|_| assert!(fleet.short() < 4));
    fleet.until_open(0);
    let wakes = || fleet.nodes.iter().map(|node| node.acceptor.wakes()).collect::<Vec<_>>();
    // The timers of the last connections run out, and nobody wakes for longer than any timer runs.
    wait_for("all to sleep", || {
        let before = wakes();
        std::thread::sleep(4 * LOOK_AROUND);
        before == wakes()
    });
}

#[test]
fn an_uneven_fleet_sleeps_well() {
    let _quiet = quiet();
    let mut fleet = Fleet::with_room(1, 4);
    let _kept: Vec<_> = (0..40).map(|_| fleet.open()).collect();
    (1..4).for_each(|_| fleet.add());
    fleet.until_refused(0);
    std::thread::sleep(Duration::from_millis(1500));
    let before: Vec<_> = fleet.nodes.iter().map(|node| node.acceptor.wakes()).collect();
    std::thread::sleep(Duration::from_secs(2));
    let woke: Vec<_> = fleet.nodes.iter().zip(before).map(|(node, before)| node.acceptor.wakes() - before).collect();
    assert!(woke.iter().all(|&woke| woke < 20), "{woke:?} in 2 s");
    assert!(fleet.nodes[0].acceptor.is_asleep());
}

#[test]
fn a_fresh_node_does_not_draw_everything() {
    let _quiet = quiet();
    let trial = |fleet: &mut Option<Fleet>| {
        let fleet = fleet.insert(Fleet::with_room(7, 8));
        // 250 here, since both ends are in this process, whose files may be limited to 4096.
        let kept: Vec<_> = (0..7 * 250).map(|_| fleet.open()).collect();
        fleet.add();
        let takers = (0..1600).map(|_| fleet.short()).collect();
        drop(kept);
        takers
    };
    fair_trial(trial, |counts| counts.iter().all(|&count| count <= 400));
}

#[test]
fn the_fresh_node_gets_what_is_kept() {
    let _quiet = quiet();
    let trial = |fleet: &mut Option<Fleet>| {
        let fleet = fleet.insert(Fleet::with_room(3, 4));
        let _kept: Vec<_> = (0..60).map(|_| fleet.open()).collect();
        fleet.add();
        // Later than what counts as recent, so that the number of open connections decides.
        std::thread::sleep(Duration::from_secs(2));
        let slowly = (0..19).map(|_| {
            std::thread::sleep(Duration::from_millis(150)); // too slow to be worth sharing
            fleet.open()
        });
        let more: Vec<_> = slowly.collect();
        more.iter().map(|more| more.0).collect()
    };
    // Those who were in the queue already have taken one each before they were refused.
    fair_trial(trial, |counts| counts[3] >= 16);
}

#[test]
fn a_node_that_drains_leaves_its_share_to_others() {
    let _quiet = quiet();
    let mut fleet = Fleet::new(3);
    let mut kept: Vec<_> = (0..9).map(|_| fleet.open()).collect();
    fleet.drain(0);
    wait_for("the node to leave", || !fleet.nodes[0].acceptor.is_placed());
    let takers = tally(3, (0..40).map(|_| fleet.short()));
    assert_eq!(takers[0], 0, "{takers:?}");
    let own = kept.iter().filter(|kept| kept.0 == 0).count() as u64;
    kept.retain(|kept| kept.0 != 0);
    let node = fleet.nodes.remove(0);
    let report = node.thread.join().expect("no panic");
    assert_eq!(report, DrainReport { finished: own, aborted: 0, handed_off: 0 });
}

#[test]
fn sleepers_take_over_when_the_preferred_one_stops_answering() {
    let _quiet = quiet();
    let mut fleet = Fleet::with_room(1, 2);
    let _kept: Vec<_> = (0..20).map(|_| fleet.open()).collect();
    fleet.add();
    fleet.until_refused(0);
    let _blocked = fleet.block(1);
    let (node, _stream) = fleet.open();
    assert_eq!(node, 0);
}
