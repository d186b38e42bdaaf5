//! The loop, with processes that the tests play.

mod owners;
mod streams;
mod workload;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::Supervisor;
use crate::bind::Manner;
use crate::command::{Command, CommandError, ReloadReport, Report};
use crate::control::{ToMaster, ToNode, VERSIONS};
use crate::exits::Exits;
use crate::family::own_run;
use crate::log_buffer::LogBuffer;
use crate::mesh;
use crate::process_links::{CommandRequest, End, Snapshot};
use crate::serve::{self, Drain, LoadTable};
use crate::signals::MasterSignals;
use crate::status::{Exit, State, Status};
use crate::supervisor::bootstrap::shape;
use crate::supervisor::child::Launcher;
use crate::supervisor::fleet::{Fleet, Policy};
use crate::supervisor::launch::fake::{Fake, Played};
use crate::supervisor::members::{Members, NodeTemplate};
use crate::supervisor::plan::{Plan, Start};
use crate::supervisor::workload::{Linked, Properties, Workload, WorkloadSpec};

/// No test takes longer.
const OUTER: Duration = Duration::from_secs(20);

/// What the program of the master's process holds.
#[derive(Clone)]
struct Program {
    asks: mpsc::Sender<CommandRequest>,
    shown: watch::Receiver<Snapshot>,
}

impl Program {
    fn status(&self) -> Status {
        self.shown.borrow().status.clone()
    }

    async fn command(&self, command: Command) -> Result<Report, CommandError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.asks.send(CommandRequest { command, reply }).await;
        answer.await.unwrap_or(Err(CommandError::ShuttingDown))
    }

    async fn reload(&self) -> Result<ReloadReport, CommandError> {
        match self.command(Command::Reload).await? {
            Report::Reload(report) => Ok(report),
            report => panic!("{report:?}"),
        }
    }

    async fn shutdown(&self) -> Result<(), CommandError> {
        self.command(Command::Shutdown { now: false }).await.map(drop)
    }

    async fn upgrade(&self) -> Result<Report, CommandError> {
        self.command(Command::Upgrade).await
    }
}

fn plan(policy: Policy) -> Plan {
    Plan {
        start: Start::default(),
        run: own_run(None, &[]),
        manner: Manner { backlog: 1024, unix_mode: None, nodes_are_others: false },
        policy,
        peers: true,
        signals: true,
        commands_from_nodes: false,
        master_listen: false,
        adopt_timeout: Duration::from_secs(60),
        measures: false,
        max_keys: 16,
        endpoints: 0,
        gateway: None,
    }
}

/// A master whose nodes are played.
struct Master {
    nodes: Program,
    fake: Arc<Fake>,
    started: mpsc::Receiver<Played>,
    over: tokio::task::JoinHandle<End>,
    /// The service is over once these are dropped.
    program: (mesh::Arrivals, mesh::Rejoin),
}

impl Master {
    fn with(policy: Policy) -> Master {
        Master::of(policy, false)
    }

    /// `joins`: the nodes are joined with each other and with the master.
    fn of(policy: Policy, joins: bool) -> Master {
        Master::runs(policy, joins, (Box::new(Linked), Linked.properties()))
    }

    /// The nodes are joined with each other, and not with the master.
    fn nodes_alone(policy: Policy) -> Master {
        let properties = Properties { joins_master: false, ..Linked.properties() };
        Master::runs(policy, true, (Box::new(Linked), properties))
    }

    fn runs(policy: Policy, joins: bool, (workload, properties): (Box<dyn Workload>, Properties)) -> Master {
        let (fake, started) = Fake::new();
        let fake = Arc::new(fake);
        let plan = plan(policy);
        let launcher = Launcher::new(plan.start.clone(), None, plan.run.clone(), fake.clone());
        let launcher = launcher.expect("this program is found");
        let (load, load_file) = LoadTable::create(16).expect("a load table");
        let (asks, asked) = mpsc::channel(8);
        let (snapshot, shown) = watch::channel(Snapshot::default());
        let nodes = Program { asks, shown };
        let (peers, arrivals, rejoin) = mesh::arrivals();
        let (hears, events) = mpsc::channel(64);
        let template = NodeTemplate {
            addresses: vec![Vec::new()],
            sockets: vec![Vec::new()],
            load,
            load_file,
            limits: multi_node_limits::SharedTable::create(multi_node_limits::Size { keys: 16, processes: 4 }, [1; 16])
                .expect("a table"),
            wake_fd: serve::wake_fd().expect("a wake-up"),
            settings: plan.node_settings(),
            secret: crate::SharedSecret::new([7; 64]),
            tls: crate::tls_state::TlsSource::none(),
            shape: shape(&plan, 0, &properties),
            workload,
            properties,
        };
        let members = Members::new(
            template,
            launcher,
            (joins, peers, multi_node_bus::Bus::new(crate::id::NodeId::MASTER, Default::default())),
            (8, Duration::from_secs(30), plan.policy.backoff),
            hears,
            snapshot,
        );
        let signals = MasterSignals::install(false).expect("no signals");
        let supervisor = Supervisor::new(
            Fleet::new(plan.policy.clone(), 1),
            members,
            events,
            (asked, plan.loop_config()),
            (signals, Drain::new().0),
            (LogBuffer::default(), Default::default(), Exits::new(), None),
        );
        Master { nodes, fake, started, program: (arrivals, rejoin), over: tokio::spawn(supervisor.run()) }
    }

    /// The next process that is started.
    async fn starts(&mut self) -> Played {
        self.started.recv().await.expect("the master starts a node")
    }

    /// The next process that is started, once it serves.
    async fn brings_up(&mut self) -> Played {
        let mut node = self.starts().await;
        hello(&mut node).await;
        node.says(ToMaster::Ready).await;
        node
    }

    /// Waits until this number of nodes is in this state.
    async fn has(&self, count: usize, state: State) {
        let has = |shown: &Snapshot| shown.status.slots.iter().filter(|slot| slot.state == state).count() == count;
        // The loop may have ended.
        let _ = self.nodes.shown.clone().wait_for(has).await;
    }
}

fn policy(nodes: usize) -> Policy {
    Policy::of_tests(nodes)
}

async fn hello(node: &mut Played) {
    hello_with(node, &[]).await;
}

async fn hello_with(node: &mut Played, capabilities: &[&str]) {
    let capabilities = capabilities.iter().map(ToString::to_string).collect();
    node.says(ToMaster::Hello { versions: VERSIONS, addresses: vec![Vec::new()], capabilities }).await;
    node.is_told(|message| matches!(message, ToNode::HelloAck(_)).then_some(())).await;
}

async fn drains(node: &mut Played) {
    node.is_told(|message| matches!(message, ToNode::Drain { .. }).then_some(())).await;
}

fn play<F: Future<Output = ()>>(story: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(OUTER, story).await.expect("the story ends in time") });
}

#[test]
fn a_node_that_dies_is_replaced_and_a_shutdown_drains_all() {
    play(async {
        let mut master = Master::with(policy(1));
        master.brings_up().await.ends(Exit::Code(3));
        let mut second = master.brings_up().await;
        master.has(1, State::Serving).await;
        let slot = master.nodes.status().slots[0].clone();
        assert_eq!((slot.restarts, slot.last_exit), (1, Some(Exit::Code(3))));
        let handle = master.nodes.clone();
        let shutdown = tokio::spawn(async move { handle.shutdown().await });
        drains(&mut second).await;
        second.ends(Exit::Code(0));
        assert_eq!(shutdown.await.expect("no panic"), Ok(()));
        assert!(matches!(master.over.await.expect("no panic"), End::Done));
    });
}

#[test]
fn a_reload_drains_the_old_node_when_the_new_one_is_ready() {
    play(async {
        let mut master = Master::with(policy(1));
        let mut old = master.brings_up().await;
        master.has(1, State::Serving).await;
        let handle = master.nodes.clone();
        let reload = tokio::spawn(async move { handle.reload().await });
        let _new = master.brings_up().await;
        drains(&mut old).await;
        old.ends(Exit::Code(0));
        let report = reload.await.expect("no panic").expect("reloaded");
        assert_eq!((report.generation.number(), report.slots.len()), (1, 1));
    });
}

#[test]
fn a_new_node_that_dies_before_it_has_proved_itself_costs_no_old_one() {
    play(async {
        let mut master = Master::with(Policy { rolling: false, settle: Duration::from_secs(60), ..policy(2) });
        let _old = [master.brings_up().await, master.brings_up().await];
        master.has(2, State::Serving).await;
        let handle = master.nodes.clone();
        let reload = tokio::spawn(async move { handle.reload().await });
        let (mut third, fourth) = (master.brings_up().await, master.brings_up().await);
        master.has(4, State::Serving).await;
        fourth.ends(Exit::Code(1));
        let failed = reload.await.expect("no panic").expect_err("the release is broken");
        let text = "node-4 in slot 1 ended with exit code 1 while serving; 2 of 2 old nodes serve";
        assert_eq!(failed.to_string(), text);
        drains(&mut third).await;
        third.ends(Exit::Code(0));
        master.has(0, State::Draining).await;
        assert!(master.nodes.status().slots.iter().all(|slot| slot.generation.number() == 0));
    });
}

#[test]
fn new_nodes_that_have_proved_themselves_take_all_slots() {
    play(async {
        let mut master = Master::with(Policy { rolling: false, settle: Duration::from_millis(50), ..policy(2) });
        let mut old = [master.brings_up().await, master.brings_up().await];
        master.has(2, State::Serving).await;
        let handle = master.nodes.clone();
        let reload = tokio::spawn(async move { handle.reload().await });
        let _new = [master.brings_up().await, master.brings_up().await];
        for node in &mut old {
            drains(node).await;
        }
        old.into_iter().for_each(|node| node.ends(Exit::Code(0)));
        assert_eq!(reload.await.expect("no panic").expect("reloaded").slots.len(), 2);
    });
}

#[test]
fn a_node_that_misses_the_drain_deadline_is_killed() {
    play(async {
        let mut master = Master::with(Policy { drain_timeout: Duration::from_millis(50), ..policy(1) });
        let mut node = master.brings_up().await;
        master.has(1, State::Serving).await;
        let handle = master.nodes.clone();
        let shutdown = tokio::spawn(async move { handle.shutdown().await });
        drains(&mut node).await;
        assert_eq!(node.signal().await, 9);
        node.ends(Exit::Signal(9));
        assert_eq!(shutdown.await.expect("no panic"), Ok(()));
    });
}

#[test]
fn a_shutdown_ends_a_node_that_has_not_come_up() {
    play(async {
        let mut master = Master::with(policy(1));
        let mut node = master.starts().await;
        hello(&mut node).await;
        let handle = master.nodes.clone();
        let shutdown = tokio::spawn(async move { handle.shutdown().await });
        assert_eq!(node.signal().await, 9, "it has no client yet");
        node.ends(Exit::Signal(9));
        assert_eq!(shutdown.await.expect("no panic"), Ok(()));
        assert!(master.started.try_recv().is_err(), "nothing takes its place");
    });
}

#[test]
fn a_process_that_cannot_be_started_fails_the_reload() {
    play(async {
        let mut master = Master::with(policy(1));
        let _old = master.brings_up().await;
        master.has(1, State::Serving).await;
        master.fake.works.store(false, Ordering::Relaxed);
        let failed = master.nodes.reload().await.expect_err("nothing starts");
        assert!(matches!(&failed, CommandError::Failed { why, .. } if why.contains("out of memory")), "{failed}");
        assert_eq!(master.nodes.status().slots[0].state, State::Serving);
    });
}

#[test]
fn a_node_that_misses_its_deadline_is_killed_and_reaped() {
    play(async {
        let mut master = Master::with(Policy { start_timeout: Duration::from_millis(50), ..policy(1) });
        let mut slow = master.starts().await;
        assert_eq!(slow.signal().await, 9);
        slow.ends(Exit::Signal(9));
        let next = master.brings_up().await;
        master.has(1, State::Serving).await;
        let parent_info = next.env.iter().find(|(name, _)| name == crate::environment::PARENT).expect("it has a seat");
        assert!(
            parent_info.1.as_ref().is_some_and(|value| value.to_string_lossy().contains("node-2")),
            "{parent_info:?}"
        );
    });
}

#[test]
fn a_node_that_dies_before_it_is_ready_is_started_anew() {
    play(async {
        let mut master = Master::with(policy(1));
        let mut first = master.starts().await;
        hello(&mut first).await;
        first.ends(Exit::Code(7));
        let _second = master.brings_up().await;
        master.has(1, State::Serving).await;
        let slot = master.nodes.status().slots[0].clone();
        assert_eq!((slot.restarts, slot.last_exit), (1, Some(Exit::Code(7))));
    });
}

#[test]
fn an_upgrade_whoseprogram_ends_in_its_trial_changes_nothing() {
    play(async {
        let mut master = Master::with(policy(1));
        let _node = master.brings_up().await;
        master.has(1, State::Serving).await;
        let handle = master.nodes.clone();
        let upgrade = tokio::spawn(async move { handle.upgrade().await });
        master.starts().await.ends(Exit::Code(5));
        let failed = upgrade.await.expect("no panic").expect_err("it has ended").to_string();
        assert!(failed.contains("ended with exit code 5 before it reached `listen`"), "{failed}");
        let slot = master.nodes.status().slots[0].clone();
        assert_eq!((slot.state, slot.generation.number()), (State::Serving, 0));
    });
}

async fn is_joined(node: &mut Played) {
    node.is_told(|message| matches!(message, ToNode::Joined { .. }).then_some(())).await;
}

#[test]
fn the_loop_goes_on_while_a_node_waits_for_descriptors() {
    play(async {
        let mut master = Master::of(policy(2), true);
        let (first, mut second) = (master.brings_up().await, master.starts().await);
        master.has(1, State::Serving).await;
        master.fake.has_descriptors.store(false, Ordering::Relaxed);
        hello(&mut second).await;
        first.ends(Exit::Code(3));
        // Its successor is started before the second is given up: the second is joined in the end.
        let _third = master.starts().await;
        master.fake.has_descriptors.store(true, Ordering::Relaxed);
        is_joined(&mut second).await;
    });
}

#[test]
fn a_node_for_which_no_descriptors_come_is_ended() {
    play(async {
        let mut master = Master::of(policy(1), true);
        master.fake.has_descriptors.store(false, Ordering::Relaxed);
        let mut node = master.starts().await;
        hello(&mut node).await;
        assert_eq!(node.signal().await, 9);
        node.ends(Exit::Signal(9));
        master.fake.has_descriptors.store(true, Ordering::Relaxed);
        is_joined(&mut { master.brings_up().await }).await;
    });
}
