//! The process that leads as master: supervision, what it serves itself, and where it is seen from outside are tied together.

use multi_node_bus::Bus;
use multi_node_supervisor::{Bootstrap, Ends, Linked, UpgradeRequest, WorkloadSpec};

use crate::endpoints::Endpoints;
use crate::id::NodeId;
use crate::join::Join;
use crate::lease::LeasePlace;
use crate::options::{Address, Settings};
use crate::process_links::{End, ProcessLinks};
use crate::serve::{self, AcceptControl, DrainSignal, Place, Serving, Socket};
use crate::servers::Servers;
use crate::tls::Keeper;
use crate::tls_state::TlsSource;
use crate::{Error, Handle, Heartbeat, Nodes, bind, plan, remote_reload, run_directory, wiring};

/// What the nodes serve by.
pub(crate) enum Served {
    /// Servers of this program.
    Linked(Servers, Option<Keeper>),
    /// What accepts connections without the library.
    Other(Box<dyn WorkloadSpec>),
}

impl Served {
    fn apart(self) -> (Option<Servers>, Option<Keeper>, Box<dyn WorkloadSpec>) {
        match self {
            Served::Linked(servers, keeper) => (Some(servers), keeper, Box::new(Linked)),
            Served::Other(workload) => (None, None, workload),
        }
    }
}

/// Leads the program: returns when supervision runs.
pub(crate) async fn lead(
    settings: Settings,
    served: Served,
    sockets: Vec<Vec<Socket>>,
    addresses: Vec<Vec<Address>>,
    endpoints: Endpoints,
) -> Result<Nodes, Error> {
    let (servers, keeper, workload) = served.apart();
    let plan = plan::plan(&settings);
    let bootstrap = Bootstrap::found(&plan, sockets, workload)?;
    supervise(bootstrap, settings, (servers, keeper), addresses, endpoints).await
}

/// Leads the program in the place of one that led it before; or says whether that could be done, and does not return.
pub(crate) async fn succeed(
    request: UpgradeRequest,
    mut settings: Settings,
    served: Served,
    addresses: Vec<Vec<Address>>,
) -> Result<Nodes, Error> {
    let (servers, mut keeper, workload) = served.apart();
    let inherited = request.take_over(&plan::plan(&settings), &addresses, workload).await?;
    let endpoints = Endpoints::reopen(&mut settings).await;
    // Its name is known once the control socket is open.
    let bootstrap = inherited.resume(&plan::plan(&settings))?;
    if let (Some(keeper), Some(left)) = (&mut keeper, bootstrap.tls()) {
        keeper.inherit_keys(left);
    }
    supervise(bootstrap, settings, (servers, keeper), addresses, endpoints).await
}

async fn supervise(
    bootstrap: Bootstrap,
    settings: Settings,
    (servers, keeper): (Option<Servers>, Option<Keeper>),
    addresses: Vec<Vec<Address>>,
    endpoints: Endpoints,
) -> Result<Nodes, Error> {
    let log_buffer = endpoints.log_buffer();
    // What a node wrote last may tell why it has ended.
    let log_buffer = if bootstrap.collects_output() { log_buffer.keep() } else { log_buffer };
    let secret = Some(bootstrap.secret().clone());
    let tls = keeper.map_or_else(|| Ok(TlsSource::none()), Keeper::start)?;
    let bus = Bus::new(NodeId::MASTER, wiring::bus_limits(&settings));
    let terminators = servers.as_ref().map(Servers::terminators).unwrap_or_default();
    let (nodes, links) = wiring::wire(
        NodeId::MASTER,
        None,
        bootstrap.sockets(),
        (bootstrap.load(), bootstrap.limits().clone(), bus.clone(), terminators),
        (log_buffer.clone(), secret),
        (None, None),
        LeasePlace::of_run(&settings),
    );
    if settings.join.as_ref().is_some_and(Join::allows_remote_commands)
        && let Err(error) = remote_reload::allow(&nodes.handle())
    {
        crate::log::error!("other machines cannot have this one reload: {error}");
    }
    // Nothing grants leases to the master: after a reload its program is an old one.
    let ProcessLinks { peers, asked, snapshot, end, exits, drain, draining, leases: _ } = links;
    let parent_server = ParentServer { place: bootstrap.place()?, draining, heartbeat: settings.heartbeat.clone() };
    let serving = match servers {
        Some(servers) if settings.master_listen => {
            Some(parent_server.serve(servers, bootstrap.sockets(), nodes.handle()).await?)
        }
        _ => None,
    };
    let ends = Ends {
        peers,
        bus,
        asked,
        snapshot,
        exits,
        drain: drain.clone(),
        log_buffer,
        metrics_sink: endpoints.metrics_sink(),
        tls,
    };
    let supervision = bootstrap.supervise(&plan::plan(&settings), &addresses, ends);
    let endpoints = endpoints.attend(nodes.handle()).await?;
    tokio::spawn(async move {
        let mut outcome = supervision.await;
        drain.begin(settings.drain_timeout);
        if let Some(mut serving) = serving
            && let Err(error) = serving.finished().await
        {
            outcome = End::Failed(error.to_string());
        }
        bind::unlink_unserved(&addresses).await;
        endpoints.close().await;
        run_directory::remove(std::process::id());
        end.send_replace(Some(outcome));
    });
    Ok(nodes)
}

/// The master as a server beside its nodes.
struct ParentServer {
    place: Place,
    draining: DrainSignal,
    /// Whose pulse counts, where it is not this runtime's.
    heartbeat: Option<Heartbeat>,
}

impl ParentServer {
    async fn serve(self, servers: Servers, sockets: &[Vec<Socket>], handle: Handle) -> Result<Serving, Error> {
        let duplicate = |sockets: &Vec<Socket>| sockets.iter().map(Socket::try_clone).collect();
        let sockets = sockets.iter().map(duplicate).collect::<std::io::Result<Vec<Vec<Socket>>>>();
        let sockets = sockets.map_err(Error::io("duplicate a listening socket"))?;
        let serving = serve::start(servers, sockets, self.place, handle, self.draining.clone()).await;
        let serving = serving.map_err(|error| Error::Start { cause: error.to_string() })?;
        tokio::spawn(beat(serving.accept_control(), self.heartbeat, self.draining));
        Ok(serving)
    }
}

/// Shows the nodes that the master takes connections as they do, until it drains.
async fn beat(accept_control: AcceptControl, heartbeat: Option<Heartbeat>, draining: DrainSignal) {
    let mut pulse = serve::pulse();
    loop {
        tokio::select! {
            () = draining.draining() => return,
            _ = pulse.tick() => if heartbeat.as_ref().is_none_or(Heartbeat::take) {
                accept_control.beat();
            }
        }
    }
}
