//! The library's own thread: its runtime, `listen`, and the events from then on.

use std::io;
use std::sync::mpsc as blocking;

use multi_node::embed::{ExternalAcceptor, external};
use multi_node::mesh::Peer;
use multi_node::servers::Servers;
use multi_node::status::{MachineEvents, NodeExits, StatusWatch};
use multi_node::tls::Certificates;
use multi_node::{Error, Handle, Nodes, Options, listen};
use tokio::sync::{mpsc, oneshot, watch};

use crate::certificate::TlsMaterial;
use crate::event::Event;
use crate::failure::Failure;
use crate::handshaker::ByNode;

/// How many events may wait for JavaScript. Further ones wait for room.
const QUEUE: usize = 64;

/// Resolves when JavaScript can take a server's connections, or says why it cannot.
pub(crate) type Opened = oneshot::Receiver<Result<(), String>>;

/// A server beside the first, on an address of its own.
pub(crate) struct Further {
    pub(crate) bind: String,
    pub(crate) served: Served,
}

/// What a server waits for, and what is read for its TLS, with the place where JavaScript finds it.
pub(crate) struct Served {
    pub(crate) opened: Opened,
    pub(crate) tls: Option<(Certificates, watch::Sender<TlsMaterial>)>,
    /// Whether its clients speak HTTP/1 without TLS.
    pub(crate) http1: bool,
}

/// The way to the thread.
pub(crate) struct Thread {
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) handle: Handle,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) tell: mpsc::Sender<Event>,
    /// Drops `Nodes`, which is how a process leaves.
    pub(crate) leave: oneshot::Sender<()>,
}

/// Starts the thread, and waits until `listen` has bound its addresses, or has found its place as a node.
/// `joins`: JavaScript hears of processes of other machines.
pub(crate) fn start(options: Options, joins: bool, first: Served, more: Vec<Further>) -> Result<Thread, Error> {
    let (tell, events) = mpsc::channel(QUEUE + 1 + more.len());
    let (begun, begins) = blocking::channel();
    let (leave, left) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
    let runtime_handle = runtime.handle().clone();
    let places: Vec<_> = [&first].into_iter().chain(more.iter().map(|further| &further.served)).map(place).collect();
    let servers = servers(first, more, &begun, &tell);
    let events_of_thread = tell.clone();
    let options = measured(options, tell.clone());
    let life = async move {
        for (server, place) in places.into_iter().enumerate() {
            tokio::spawn(tell_certificates(server, place, events_of_thread.clone()));
        }
        match listen(options, servers).await {
            Ok(nodes) => {
                // If this process serves, a server has already sent this.
                let _ = begun.send(Ok(nodes.handle()));
                if joins {
                    tokio::spawn(tell_machines(nodes.handle().machine_events(), events_of_thread.clone()));
                }
                live(nodes, events_of_thread, left).await;
            }
            Err(error) => {
                // If the caller no longer waits for the start, it gets the end as an event.
                let closed = Event::Closed(Some(Failure::from(&error)));
                let _ = begun.send(Err(error));
                let _ = events_of_thread.send(closed).await;
            }
        }
        // The master would take the end of the control socket for a fault of this process, which may still have work to do.
        std::future::pending::<()>().await;
    };
    let run = move || runtime.block_on(life);
    std::thread::Builder::new().name("multi-node".to_owned()).spawn(run).map_err(no_thread)?;
    let handle = begins.recv().map_err(|_| Error::NoRuntime)??;
    Ok(Thread { runtime: runtime_handle, handle, events, tell, leave })
}

/// Has JavaScript asked what it measures.
fn measured(options: Options, tell: mpsc::Sender<Event>) -> Options {
    options.metrics_source(move || {
        let tell = tell.clone();
        async move {
            let (reply, measured) = oneshot::channel();
            // Errors mean that JavaScript has ended, or has left the question for a later one.
            let _ = tell.send(Event::Measure(reply)).await;
            measured.await.unwrap_or_default()
        }
    })
}

fn no_thread(source: io::Error) -> Error {
    Error::Io { action: "start the library's thread", source }
}

type Begun = blocking::Sender<Result<Handle, Error>>;

/// The servers as the library knows them. Each waits for JavaScript.
fn servers(first: Served, more: Vec<Further>, begun: &Begun, tell: &mpsc::Sender<Event>) -> Servers {
    let server = |index: usize, Served { opened, tls, http1 }: Served| {
        let (begun, tell, by_node) = (begun.clone(), tell.clone(), tell.clone());
        let server = external(move |handle: Handle| async move {
            // Only the first is waited for.
            let _ = begun.send(Ok(handle));
            opened.await.unwrap_or_else(|_| Err("JavaScript has ended".to_owned()))?;
            // There is room for one of each server.
            Ok::<_, String>(move |acceptor: ExternalAcceptor| {
                drop(tell.try_send(Event::Serving { server: index, acceptor }));
            })
        });
        let server = server.http1(http1);
        match tls {
            Some((files, place)) => server.certificates(files, ByNode { server: index, place, tell: by_node }),
            None => server,
        }
    };
    let servers = Servers::from(server(0, first));
    more.into_iter()
        .enumerate()
        .fold(servers, |servers, (index, Further { bind, served })| servers.and(bind, server(index + 1, served)))
}

fn place(served: &Served) -> Option<watch::Receiver<TlsMaterial>> {
    served.tls.as_ref().map(|(_, place)| place.subscribe())
}

async fn tell_certificates(server: usize, place: Option<watch::Receiver<TlsMaterial>>, tell: mpsc::Sender<Event>) {
    let Some(mut place) = place else { return };
    while place.changed().await.is_ok() {
        if tell.send(Event::Certificates { server }).await.is_err() {
            return;
        }
    }
}

/// Forwards peers, the status and the drain until this process no longer serves.
async fn live(mut nodes: Nodes, tell: mpsc::Sender<Event>, mut left: oneshot::Receiver<()>) {
    let handle = nodes.handle();
    tokio::spawn(tell_changes(handle.watch(), tell.clone()));
    tokio::spawn(tell_exits(handle.exits(), tell.clone()));
    tokio::spawn(tell_drain(handle.clone(), tell.clone()));
    loop {
        tokio::select! {
            peer = nodes.next_peer() => match peer {
                Some(peer) => tell_peer(peer, &tell).await,
                None => break,
            },
            Ok(()) = &mut left => {
                drop(nodes);
                return tell_end(&handle, &tell).await;
            }
        }
    }
    tokio::select! {
        () = tell_end(&handle, &tell) => {}
        Ok(()) = left => {
            drop(nodes);
            tell_end(&handle, &tell).await;
        }
    }
}

async fn tell_peer(peer: Peer, tell: &mpsc::Sender<Event>) {
    let (info, draining) = (peer.info(), peer.draining());
    if let Ok(socket) = peer.into_fd() {
        // Errors mean that JavaScript has ended.
        let _ = tell.send(Event::Peer { info, socket }).await;
        let tell = tell.clone();
        tokio::spawn(async move {
            if draining.await {
                let _ = tell.send(Event::PeerDrains(info.id())).await;
            }
        });
    }
}

async fn tell_changes(mut watch: StatusWatch, tell: mpsc::Sender<Event>) {
    while watch.next().await.is_some() {
        if tell.send(Event::Changed).await.is_err() {
            return;
        }
    }
}

async fn tell_machines(mut events: MachineEvents, tell: mpsc::Sender<Event>) {
    while let Some(event) = events.next().await {
        if tell.send(Event::Machine(event)).await.is_err() {
            return;
        }
    }
}

async fn tell_exits(mut exits: NodeExits, tell: mpsc::Sender<Event>) {
    while let Some(exit) = exits.next().await {
        if tell.send(Event::Exited(exit)).await.is_err() {
            return;
        }
    }
}

async fn tell_drain(handle: Handle, tell: mpsc::Sender<Event>) {
    handle.draining().await;
    let _ = tell.send(Event::Draining).await;
}

async fn tell_end(handle: &Handle, tell: &mpsc::Sender<Event>) {
    let failure = handle.closed().await.err().map(|error| Failure::from(&error));
    let _ = tell.send(Event::Closed(failure)).await;
}
