//! The master's loop with nodes that do not speak: their exec shims become a program of which only observations tell.

use std::io;

use tokio::time::Instant;

use super::*;
use crate::control::Exec;
use crate::id::{Generation, NodeId};
use crate::serve::Socket;
use crate::supervisor::fleet::Event;
use crate::supervisor::workload::{Given, NodeNews, NodeView, Observer, Reaction, Waits, Welcome};

/// SIGINT, for no other signal comes by accident.
const STOP: i32 = 2;

/// What such nodes run, and what the test learns and decides of it.
#[derive(Debug)]
struct Mute {
    observers: mpsc::Sender<Observer>,
    /// Whether no connection waits any more.
    is_empty: watch::Receiver<bool>,
    /// Whether that was so when a node was asked to finish.
    asked: mpsc::Sender<bool>,
}

impl Workload for Mute {
    fn stop_signal(&self, _: Generation) -> io::Result<i32> {
        Ok(STOP)
    }

    fn hello(&mut self, _: NodeView, _: &[Vec<String>], _: Given<'_>) -> Result<Welcome, String> {
        let (program, args, env, fds) = ("server".into(), Vec::new(), Vec::new(), Vec::new());
        let (parent_info, found, stop_signal, open_files) = (None, None, Some(STOP), None);
        Ok(Welcome::Exec(Box::new(Exec { program, args, env, fds, parent_info, found, stop_signal, open_files })))
    }

    fn heard(&mut self, node: NodeView, news: NodeNews<'_>) -> Reaction {
        let id = node.info.id();
        match news {
            NodeNews::Became(observer) => {
                self.observers.try_send(observer).expect("the test takes it");
                Reaction::Event(Event::Runs { id, lacks: "it was not observed".to_owned() })
            }
            NodeNews::Observed(b"ready") => Reaction::Event(Event::Ready { id }),
            NodeNews::Observed(_) => Reaction::Signal,
            _ => Reaction::Nothing,
        }
    }

    fn ask_to_finish(&mut self, _: NodeId) -> bool {
        self.asked.try_send(*self.is_empty.borrow()).expect("the test takes it");
        false
    }

    fn refuse_newcomers(&mut self, _: &[Vec<Socket>], deadline: Option<Instant>) -> Option<Waits<'static, bool>> {
        let mut is_empty = self.is_empty.clone();
        Some(Box::pin(async move { is_empty.wait_for(|is| *is).await.is_ok() && deadline.is_some() }))
    }
}

/// Such a master, and the ends of its workload.
struct Mutes {
    master: Master,
    observers: mpsc::Receiver<Observer>,
    is_empty: watch::Sender<bool>,
    asked: mpsc::Receiver<bool>,
}

impl Mutes {
    fn new() -> Mutes {
        let ((tells, observers), (empties, is_empty), (asks, asked)) =
            (mpsc::channel(8), watch::channel(false), mpsc::channel(8));
        let workload = Mute { observers: tells, is_empty, asked: asks };
        let properties =
            Properties { same_program: false, all_speak: false, joins_master: false, ..Linked.properties() };
        let master = Master::runs(policy(1), false, (Box::new(workload), properties));
        Mutes { master, observers, is_empty: empties, asked }
    }

    /// The next process that is started, once it has become its program.
    async fn becomes(&mut self) -> (Played, Observer) {
        let mut node = self.master.starts().await;
        node.says(ToMaster::Hello { versions: VERSIONS, addresses: Vec::new(), capabilities: Vec::new() }).await;
        node.is_told(|message| matches!(message, ToNode::Exec(_)).then_some(())).await;
        node.says(ToMaster::Exec).await;
        (node, self.observers.recv().await.expect("its workload knows"))
    }
}

#[test]
fn what_is_observed_makes_a_node_ready_and_its_signal_makes_it_finish() {
    play(async {
        let mut mutes = Mutes::new();
        let (mut old, observer) = mutes.becomes().await;
        observer.tell(b"ready".to_vec()).await;
        mutes.master.has(1, State::Serving).await;
        let nodes = mutes.master.nodes.clone();
        let reload = tokio::spawn(async move { nodes.reload().await });
        let (mut new, observer) = mutes.becomes().await;
        observer.tell(b"ready".to_vec()).await;
        assert_eq!(old.signal().await, STOP);
        old.ends(Exit::Code(0));
        assert_eq!(reload.await.expect("no panic").expect("reloaded").slots.len(), 1);
        observer.tell(b"it has closed its channel".to_vec()).await;
        assert_eq!(new.signal().await, STOP, "its workload asked for it");
    });
}

#[test]
fn in_a_shutdown_a_node_that_does_not_speak_finishes_when_no_connection_waits() {
    play(async {
        let mut mutes = Mutes::new();
        let (mut node, observer) = mutes.becomes().await;
        observer.tell(b"ready".to_vec()).await;
        mutes.master.has(1, State::Serving).await;
        let nodes = mutes.master.nodes.clone();
        let shutdown = tokio::spawn(async move { nodes.shutdown().await });
        mutes.master.has(1, State::Draining).await;
        mutes.is_empty.send_replace(true);
        assert_eq!(node.signal().await, STOP);
        assert_eq!(mutes.asked.recv().await, Some(true), "not before");
        node.ends(Exit::Code(0));
        assert_eq!(shutdown.await.expect("no panic"), Ok(()));
        assert!(matches!(mutes.master.over.await.expect("no panic"), End::Done));
    });
}
