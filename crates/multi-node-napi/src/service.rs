//! What JavaScript holds: one object, all of whose methods return at once.

use std::task::{Context, Poll, Waker};

use multi_node::Handle;
use multi_node::embed::{AcceptedConn, ConnGuard, ExternalAcceptor, Heartbeat, RestingConns, carry_out, owns};
use multi_node::options::Metric;
use napi::bindgen_prelude::{Function, Int32ArraySlice};
use napi_derive::napi;
use tokio::sync::{mpsc, oneshot, watch};

use crate::certificate::{CheckReply, TlsMaterial, certificates};
use crate::event::{Event, EventFields};
use crate::event_loop::EventLoop;
use crate::failure::Failure;
use crate::measure::Sample;
use crate::options::{NodeOptions, milliseconds};
use crate::status::{FleetStatus, number};
use crate::thread::{self, Further, Served, Thread};
use crate::{descriptor, wake};

/// This process's part in the program.
#[napi]
pub struct Service {
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) handle: Handle,
    heartbeat: Heartbeat,
    waker: Waker,
    events: mpsc::Receiver<Event>,
    pub(crate) tell: mpsc::Sender<Event>,
    leave: Option<oneshot::Sender<()>>,
    pub(crate) servers: Vec<Server>,
    event_loop: Option<EventLoop>,
    /// One for each connection that JavaScript has.
    pub(crate) counts: Vec<ConnGuard>,
    /// Who gets the measured metrics.
    asked: Option<oneshot::Sender<Vec<Metric>>>,
    /// Who waits for the check of a certificate.
    pub(crate) checks: Option<CheckReply>,
}

/// One server, as far as it has come.
pub(crate) struct Server {
    opens: Option<oneshot::Sender<Result<(), String>>>,
    pub(crate) acceptor: Option<ExternalAcceptor>,
    /// Its connections between two requests, where requests have owners.
    pub(crate) resting: Option<&'static RestingConns>,
    /// What its handshakes go by, if it has TLS.
    pub(crate) tls: Option<watch::Receiver<TlsMaterial>>,
}

#[napi]
impl Service {
    /// Calls `listen` in the library's thread; returns when the addresses are bound, or this process has found its place as a node.
    ///
    /// `further` are the addresses of the servers after the first. `turn` is called, on this thread, whenever there may be something to take;
    /// with `true`, where it may be a connection of a listening socket and nothing else.
    ///
    /// # Errors
    /// A failure as JSON, in the error's message.
    #[napi(constructor)]
    pub fn new(
        env: napi::Env,
        options: NodeOptions,
        further: Vec<String>,
        turn: Function<'_, (), ()>,
    ) -> napi::Result<Service> {
        let waker = wake::waker(&turn)?;
        // Without it a thread waits for connections and calls `turn`.
        let event_loop = EventLoop::new(&env, &turn).ok();
        let heartbeat = Heartbeat::new();
        let (first, first_served) = Server::new(0, &options);
        let (mut servers, mut more) = (vec![first], Vec::new());
        for (bind, index) in further.into_iter().zip(1..) {
            let (server, served) = Server::new(index, &options);
            servers.push(server);
            more.push(Further { bind, served });
        }
        let joins = options.join.is_some();
        let options = options.into_options(heartbeat.clone());
        let started =
            thread::start(options, joins, first_served, more).map_err(|error| Failure::from(&error).into_error())?;
        let Thread { runtime, handle, events, tell, leave } = started;
        let leave = Some(leave);
        let (counts, asked, checks) = (Vec::new(), None, None);
        Ok(Service {
            runtime,
            handle,
            heartbeat,
            waker,
            events,
            tell,
            leave,
            servers,
            event_loop,
            counts,
            asked,
            checks,
        })
    }

    /// Who this process is: `master`, `node-1`…
    #[napi(getter)]
    pub fn id(&self) -> String {
        self.handle.id().to_string()
    }

    /// What this program had opened before `listen`, in a sentence, where that is worth a warning.
    #[napi(getter)]
    pub fn before_listen(&self) -> Option<String> {
        self.handle.before_listen().map(ToString::to_string)
    }

    /// Whether this process answers the requests with this value; `null`: it owns none at present.
    #[napi]
    pub fn owns(&self, value: String) -> Option<bool> {
        Some(value).and_then(|value| owns(&self.handle, value.as_bytes()))
    }

    #[napi(getter)]
    pub fn slot(&self) -> Option<u32> {
        self.handle.slot().map(number)
    }

    /// The addresses of a server: `host:port`, or `unix`.
    #[napi]
    pub fn addresses(&self, server: u32) -> Vec<String> {
        self.handle.server_addrs(server as usize).iter().map(ToString::to_string).collect()
    }

    /// The connections of a server can be taken from now on; or they cannot, for this reason.
    #[napi]
    pub fn opened(&mut self, server: u32, failure: Option<String>) {
        let server = self.servers.get_mut(server as usize);
        if let Some(opens) = server.and_then(|server| server.opens.take()) {
            // An error means that this process drains already.
            let _ = opens.send(failure.map_or(Ok(()), Err));
        }
    }

    /// Writes the descriptors of a server's next connections into `into`, and says how many there are: each counts as open until
    /// `release`. If there are fewer than there is room for, `turn` is called when there are more. `woken`: it was, with `true`.
    #[napi]
    pub fn take(&mut self, server: u32, mut into: Int32ArraySlice<'_>, woken: bool) -> u32 {
        let acceptor = self.servers.get_mut(server as usize).and_then(|server| server.acceptor.as_mut());
        let Some(acceptor) = acceptor else { return 0 };
        if woken {
            acceptor.woken();
        }
        // SAFETY: this is JavaScript's thread, and nothing of JavaScript runs before this returns.
        let into = unsafe { into.as_mut() };
        let mut cx = Context::from_waker(&self.waker);
        let mut taken = 0;
        for place in into {
            let Poll::Ready(Some(AcceptedConn { socket, count })) = acceptor.poll_take(&mut cx) else { break };
            self.counts.push(count);
            *place = descriptor::release(socket);
            taken += 1;
        }
        taken
    }

    /// This number of taken connections has been closed.
    #[napi]
    pub fn release(&mut self, closed: u32) {
        self.counts.truncate(self.counts.len().saturating_sub(closed as usize));
    }

    /// The numbers of requests that have begun, have ended or were given up, and got a server error.
    #[napi]
    pub fn count(&self, began: u32, ended: u32, failed: u32) {
        let Some(requests) =
            self.servers.iter().find_map(|server| server.acceptor.as_ref()).map(ExternalAcceptor::requests)
        else {
            return;
        };
        requests.began(began.into());
        requests.failed(failed.into());
        requests.ended(ended.into());
    }

    /// How long, in milliseconds, a connection that another process has handed off may be idle; 0: for ever.
    #[napi]
    pub fn set_idle_timeout(&self, server: u32, time: f64) {
        if let Some(acceptor) = self.servers.get(server as usize).and_then(|server| server.acceptor.as_ref()) {
            acceptor.set_idle_timeout(milliseconds(time));
        }
    }

    /// Takes no more connections of a server.
    #[napi]
    pub fn close(&mut self, server: u32) {
        if let Some(acceptor) = self.servers.get_mut(server as usize).and_then(|server| server.acceptor.as_mut()) {
            acceptor.close();
        }
    }

    /// Takes connections of a server again that was closed.
    #[napi]
    pub fn reopen(&mut self, server: u32) {
        if let Some(acceptor) = self.servers.get_mut(server as usize).and_then(|server| server.acceptor.as_mut()) {
            acceptor.reopen();
        }
    }

    /// Whether a server's connections can be given to other nodes.
    #[napi]
    pub fn gives(&self, server: u32) -> bool {
        let acceptor = self.servers.get(server as usize).and_then(|server| server.acceptor.as_ref());
        acceptor.is_some_and(|acceptor| acceptor.handoff().is_open())
    }

    /// Whether something waits to be read from a connection.
    ///
    /// # Errors
    /// What the system says of the descriptor.
    #[napi]
    pub fn is_readable(&self, fd: i32) -> napi::Result<bool> {
        descriptor::is_readable(fd).map_err(|error| napi::Error::from_reason(error.to_string()))
    }

    /// Gives a connection, at rest and with nothing read that is not answered, to another node. JavaScript keeps its descriptor,
    /// and lets it alone, until the event `given` says whether it was taken; `false`: nothing was begun.
    #[napi]
    pub fn give(&mut self, server: u32, fd: i32, ticket: u32) -> bool {
        let acceptor = self.servers.get(server as usize).and_then(|server| server.acceptor.as_ref());
        let (Some(acceptor), Ok(socket)) = (acceptor, descriptor::duplicate(fd)) else { return false };
        let Some(count) = self.counts.pop() else { return false };
        let (handoff, tell) = (acceptor.handoff(), self.tell.clone());
        self.runtime.spawn(async move {
            let outcome = handoff.give(socket, count).await;
            let _ = tell.send(Event::Given { ticket, outcome }).await;
        });
        true
    }

    /// Says that the event loop runs; due twice a second.
    #[napi]
    pub fn beat(&self) {
        self.heartbeat.beat();
    }

    /// This process leaves: a node drains and is replaced, a master shuts down.
    #[napi]
    pub fn leave(&mut self) {
        if let Some(leave) = self.leave.take() {
            let _ = leave.send(());
        }
    }

    /// Asks for a new stream to a process, whose old one was destroyed; it comes as the event `peer`.
    #[napi]
    pub fn rejoin(&self, id: String) -> bool {
        Some(id).and_then(|id| id.parse().ok()).is_some_and(|id| self.handle.rejoin(id))
    }

    /// How the fleet is now.
    #[napi]
    pub fn status(&self) -> FleetStatus {
        self.handle.status().into()
    }

    /// Gives a command, a request as the control socket has it; the event `answered` of this ticket has its report.
    #[napi]
    pub fn command(&self, ticket: u32, request: String) {
        let handle = self.handle.clone();
        self.answer(ticket, async move { command(handle, &request).await });
    }

    /// The event `answered` of this ticket comes when all nodes serve.
    #[napi]
    pub fn ready(&self, ticket: u32) {
        let handle = self.handle.clone();
        let ready = async move { handle.ready().await.map(|()| "null".to_owned()) };
        self.answer(ticket, async { ready.await.map_err(|error| Failure::from(&error)) });
    }

    fn answer(&self, ticket: u32, outcome: impl Future<Output = Result<String, Failure>> + Send + 'static) {
        let tell = self.tell.clone();
        self.runtime.spawn(async move {
            let outcome = outcome.await;
            let _ = tell.send(Event::Answered { ticket, outcome }).await;
        });
    }

    /// Answers the event `measure`. Returns the names of metrics that are not exported, each with the reason.
    #[napi]
    pub fn measured(&mut self, samples: Vec<Sample>) -> Vec<Vec<String>> {
        let mut refused = Vec::new();
        let metrics = samples.into_iter().map(Metric::from).filter(|metric| match metric.check() {
            Ok(()) => true,
            Err(why) => {
                refused.push(vec![metric.name().to_owned(), why.to_string()]);
                false
            }
        });
        let metrics = metrics.collect();
        if let Some(asked) = self.asked.take() {
            // An error means that it took too long.
            let _ = asked.send(metrics);
        }
        refused
    }

    /// The next thing that has happened, if there is one; if not, `turn` is called when there is.
    #[napi]
    pub fn next_event(&mut self) -> Option<EventFields> {
        match self.events.poll_recv(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(Some(event)) => Some(self.tell_of(event)),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    fn tell_of(&mut self, event: Event) -> EventFields {
        match event {
            Event::Serving { server, acceptor } => {
                if let Some(EventLoop { epoll, token }) = &self.event_loop {
                    let _ = acceptor.wait_in(*epoll, *token);
                }
                self.servers[server].acceptor = Some(acceptor);
                EventFields { server: u32::try_from(server).ok(), ..EventFields::of("serving") }
            }
            Event::Certificates { server } => {
                EventFields { server: u32::try_from(server).ok(), ..EventFields::of("certificates") }
            }
            Event::Check { server, pair, reply } => {
                self.checks = Some(reply);
                let (server, certificate) = (u32::try_from(server).ok(), Some(pair.into()));
                EventFields { server, certificate, ..EventFields::of("check") }
            }
            Event::Peer { info, socket } => EventFields {
                fd: Some(descriptor::release(socket)),
                id: Some(info.id().to_string()),
                slot: info.slot().map(number),
                pid: Some(info.pid()),
                is_master: Some(info.is_master()),
                draining: Some(info.is_draining()),
                epoch: Some(info.epoch() as f64),
                ..EventFields::of("peer")
            },
            Event::PeerDrains(id) => EventFields { id: Some(id.to_string()), ..EventFields::of("peerDrains") },
            Event::Machine(event) => EventFields::of_machine(event),
            Event::Changed => EventFields::of("changed"),
            Event::Exited(exit) => EventFields {
                id: Some(exit.id.to_string()),
                slot: Some(number(exit.slot)),
                pid: Some(exit.pid),
                exit: Some(exit.exit.into()),
                ..EventFields::of("exited")
            },
            Event::Draining => EventFields::of("draining"),
            Event::Answered { ticket, outcome } => {
                let (report, failure) = match outcome {
                    Ok(report) => (Some(report), None),
                    Err(failure) => (None, Some(failure)),
                };
                EventFields { ticket: Some(ticket), report, failure, ..EventFields::of("answered") }
            }
            Event::Given { ticket, outcome } => {
                let taken = outcome.map_err(|count| self.counts.push(count)).is_ok();
                EventFields { ticket: Some(ticket), taken: Some(taken), ..EventFields::of("given") }
            }
            Event::Measure(reply) => {
                self.asked = Some(reply);
                EventFields::of("measure")
            }
            Event::Closed(failure) => EventFields { failure, ..EventFields::of("closed") },
        }
    }
}

impl Server {
    fn new(index: u32, options: &NodeOptions) -> (Server, Served) {
        let (opens, opened) = oneshot::channel();
        let has_tls = options.tls_servers.contains(&index);
        let place = || (certificates(options.certificates.as_ref()), watch::Sender::new(TlsMaterial::default()));
        let served_tls = has_tls.then(place);
        let tls = served_tls.as_ref().map(|(_, place)| place.subscribe());
        (
            Server { opens: Some(opens), acceptor: None, resting: None, tls },
            Served { opened, tls: served_tls, http1: options.http1.contains(&index) },
        )
    }
}

async fn command(handle: Handle, request: &str) -> Result<String, Failure> {
    let request = serde_json::from_str(request).map_err(|error| Failure::request(&error))?;
    let report = carry_out(&handle, &request).await.map_err(|error| Failure::from(&error))?;
    Ok(report.to_string())
}
