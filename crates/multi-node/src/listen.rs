//! The entry point. It decides the role of this process: bind and supervise, join and serve, or serve alone.

use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::before_listen::BeforeListen;
use crate::endpoints::Endpoints;
use crate::options::{Address, ControlName, Settings};
use crate::serve::Socket;
use crate::servers::Servers;
use crate::tls::Keeper;
use crate::{Error, Nodes, Options, bind, environment, single};
#[cfg(multi_process)]
use crate::{family, lead::Served, plan};
#[cfg(multi_process)]
use multi_node_supervisor::{UpgradeRequest, WorkloadSpec};

/// What this process is in the program, as [`role`] gives it.
///
/// ```
/// # use multi_node::{Role, role};
/// let workers = match role() {
///     Role::Master => 0, // it serves nothing
///     Role::Node => 4,
/// };
/// # assert_eq!(workers, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The process that the user started. It will bind the addresses and supervise the nodes, or serve alone in
    /// single-process mode.
    Master,
    /// A process that a master started to serve, or to join other machines (`Options::join`).
    Node,
}

/// Looking twice must give the same answer, though `listen` takes over the socket by which a node is known.
static ROLE: OnceLock<Role> = OnceLock::new();

static LISTENING: AtomicBool = AtomicBool::new(false);

/// Returns what this process is, before or after [`listen`]. It changes nothing.
///
/// ```
/// if multi_node::role() == multi_node::Role::Master {
///     println!("this line is printed once, and not by each node");
/// }
/// ```
pub fn role() -> Role {
    ROLE.get().copied().unwrap_or_else(look)
}

/// As [`role`], and takes over standard input at once where it is the way to the master: for programs that may touch it before
/// they reach [`listen`]. In a node `/dev/null` is put in its place; in a program that takes the place of a running one
/// ([`upgrade`](crate::Handle::upgrade)) it is what it was for that one.
///
/// # Errors
/// [`Error::Io`] where the system refuses that.
#[cfg(unix)]
pub fn claim_role() -> Result<Role, Error> {
    let role = *ROLE.get_or_init(look);
    #[cfg(multi_process)]
    match role {
        Role::Node => crate::node::claim()?,
        Role::Master => UpgradeRequest::claim()?,
    }
    Ok(role)
}

#[cfg(multi_process)]
fn look() -> Role {
    if crate::node::is_node() { Role::Node } else { Role::Master }
}

#[cfg(not(multi_process))]
fn look() -> Role {
    Role::Master
}

/// Serves `servers` by several processes of this program.
///
/// In the master it binds every address, starts the nodes, and returns while they come up; use
/// [`ready`](crate::Handle::ready) to wait for them. In a node, which is this same program started again, it returns when
/// the node serves. What stands above the call runs in every process; what only servers need belongs into the factory of
/// [`http_with`](crate::http_with).
///
/// Without nodes (`nodes(0)`, `MULTI_NODE=off` in the environment, or a system other than Linux) it serves in the calling
/// process.
///
/// ```no_run
/// use multi_node::{Options, http, listen};
/// # use axum::{Router, routing::get};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), multi_node::Error> {
///     let app = Router::new().route("/", get(|| async { "hello" }));
///     let nodes = listen(Options::new().port(8080).nodes(4), http(app)).await?;
///     nodes.closed().await
/// }
/// ```
///
/// # Errors
/// [`Error::Option`], [`Error::Bind`] and [`Error::Program`] at once, before any node is started; [`Error::SecondListen`] for a
/// second call; [`Error::NoRuntime`] outside a tokio runtime;
/// [`Error::Resume`] where this program was to take the place of a running one in an
/// [`upgrade`](crate::Handle::upgrade), and cannot; [`Error::Start`] in a node whose factory failed; [`Error::MasterGone`] in a node whose master has ended;
/// [`Error::InTest`] in a test program, which every node would start again. A node's own errors reach the master as the
/// cause of the node's end, so a program returns them from `main` and is done.
///
/// Not cancel-safe: a call that is dropped half-way leaves the process unable to listen.
pub async fn listen(options: Options, servers: impl Into<Servers>) -> Result<Nodes, Error> {
    let servers = servers.into();
    enter()?;
    let role = *ROLE.get_or_init(look);
    #[cfg(multi_process)]
    if role == Role::Master
        && let Some(request) = UpgradeRequest::received().await?
    {
        return succeed(request, options, servers).await;
    }
    let (settings, addresses) = prepare(options, &servers)?;
    match role {
        #[cfg(all(multi_process, feature = "nats"))]
        Role::Node if crate::gateway::is_gateway() => Err(crate::gateway::run().await),
        #[cfg(multi_process)]
        Role::Node => {
            let bus_limits = crate::wiring::bus_limits(&settings);
            let hand_off_when_busy = settings.hand_off_when_busy && settings.peers;
            let Settings { heartbeat, metering, affinity, .. } = settings;
            let addresses = written(&addresses);
            crate::node::join(servers, addresses, heartbeat, metering, bus_limits, affinity, hand_off_when_busy).await
        }
        _ => lead(settings, servers, addresses).await,
    }
}

fn prepare(options: Options, servers: &Servers) -> Result<(Settings, Vec<Vec<Address>>), Error> {
    let settings = options.check(cores())?;
    let addresses = addresses(servers, &settings)?;
    if addresses.iter().any(Vec::is_empty) {
        return Err(Error::Option {
            option: "addresses",
            value: String::new(),
            allowed: "expected at least one address for each server".to_owned(),
        });
    }
    Ok((settings, addresses))
}

/// Continues in the place of a running program, or reports whether it could.
#[cfg(multi_process)]
async fn succeed(request: UpgradeRequest, options: Options, servers: Servers) -> Result<Nodes, Error> {
    let alone = |settings: &Settings| Ok::<_, Error>(settings.nodes == 0 || environment::off()?);
    let prepared = prepare(options, &servers).and_then(|mut prepared| match alone(&prepared.0)? {
        true => Err(Error::Resume { cause: "it is to serve as a single process".to_owned() }),
        false => prepared.0.identify().map(|()| prepared),
    });
    if prepared.as_ref().is_ok_and(|(settings, _)| settings.log_to_stderr) {
        crate::log::show_without_subscriber();
    }
    match prepared {
        Ok((settings, addresses)) => match Keeper::load(&servers) {
            Ok(keeper) => {
                let served = Served::Linked(servers, keeper);
                crate::lead::succeed(request, settings, served, addresses).await
            }
            Err(error) => Err(request.refuse(error).await),
        },
        Err(error) => Err(request.refuse(error).await),
    }
}

/// Serves by several processes that run `workload`. As [`listen`](crate::listen()) in the master, but that there are no servers.
#[cfg(multi_process)]
pub async fn run_workload(options: Options, workload: Box<dyn WorkloadSpec>) -> Result<Nodes, Error> {
    enter()?;
    let request = UpgradeRequest::received().await?;
    let mut settings = match (prepare_workload(options, &*workload), request) {
        (Ok(settings), Some(request)) => {
            let addresses = vec![settings.addresses.clone()];
            return crate::lead::succeed(request, settings, Served::Other(workload), addresses).await;
        }
        (Err(error), Some(request)) => return Err(request.refuse(error).await),
        (prepared, None) => prepared?,
    };
    let addresses = vec![settings.addresses.clone()];
    let endpoints = Endpoints::open(&mut settings).await?;
    let sockets = bind_workload(&addresses, &settings).await?;
    let begun = crate::lead::lead(settings, Served::Other(workload), sockets, addresses.clone(), endpoints).await;
    if begun.is_err() {
        bind::unlink(&addresses);
    }
    begun
}

/// Programs that do not link the library may outlive their master for as long as they drain. Sockets that were given stay open
/// meanwhile.
#[cfg(multi_process)]
async fn bind_workload(addresses: &[Vec<Address>], settings: &Settings) -> Result<Vec<Vec<Socket>>, Error> {
    if environment::sockets_given() {
        return bind::bind(addresses, settings.into()).await;
    }
    let has_addresses = addresses.iter().any(|addresses| !addresses.is_empty());
    let run = plan::own_run(settings);
    family::bind_after_orphans(&run, has_addresses, settings.drain_timeout, async || {
        bind::bind(addresses, settings.into()).await
    })
    .await
}

/// How long new nodes of a workload serve by default before old ones drain.
#[cfg(multi_process)]
const SETTLE: std::time::Duration = std::time::Duration::from_secs(3);

#[cfg(multi_process)]
fn prepare_workload(options: Options, workload: &dyn WorkloadSpec) -> Result<Settings, Error> {
    let said = &options.values;
    let hang_timeout = workload.properties().hang_timeout.unwrap_or(said.hang_timeout);
    let (rolling, settle) = (said.rolling.unwrap_or(false), said.settle.unwrap_or(SETTLE));
    let options = options.rolling(rolling).settle(settle).hang_timeout(hang_timeout).master_listen(false);
    let mut settings = options.check(cores())?;
    if settings.nodes == 0 {
        return Err(Error::Option {
            option: "nodes",
            value: "0".to_owned(),
            allowed: "expected at least 1".to_owned(),
        });
    }
    crate::gateway_plan::check(&settings)?;
    workload.look_up()?;
    settings.identify()?;
    Ok(settings)
}

/// Only one call in a process serves.
fn enter() -> Result<(), Error> {
    tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
    if LISTENING.swap(true, Ordering::Relaxed) {
        return Err(Error::SecondListen);
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The addresses of each server: its own, or those of the options.
fn addresses(servers: &Servers, settings: &Settings) -> Result<Vec<Vec<Address>>, Error> {
    let own = |bind: Option<String>| match bind {
        Some(bind) => Ok(vec![Address::parse("bind", &bind)?]),
        None => Ok(settings.addresses.clone()),
    };
    servers.binds().into_iter().map(own).collect()
}

/// The addresses as text, which is what two processes compare.
#[cfg(multi_process)]
fn written(addresses: &[Vec<Address>]) -> Vec<Vec<String>> {
    addresses.iter().map(|addresses| addresses.iter().map(ToString::to_string).collect()).collect()
}

async fn lead(mut settings: Settings, servers: Servers, addresses: Vec<Vec<Address>>) -> Result<Nodes, Error> {
    let alone = settings.nodes == 0 || environment::off()? || !cfg!(multi_process);
    if !alone && environment::in_test() && settings.launch.program.is_none() {
        return Err(Error::InTest);
    }
    check_join(&settings, alone)?;
    identify(&mut settings, alone)?;
    if alone && matches!(settings.control, ControlName::Preferred(_)) {
        settings.control = ControlName::Off;
    }
    if !alone && settings.log_to_stderr {
        crate::log::show_without_subscriber();
    }
    #[cfg(multi_process)]
    if !alone && settings.warn_before_listen {
        warn_of_what_is_open(settings.heartbeat.is_none()).await;
    }
    let keeper = Keeper::load(&servers)?;
    let endpoints = Endpoints::open(&mut settings).await?;
    #[cfg(multi_process)]
    let sockets = bind::bind_when_free(&addresses, (&settings).into()).await?;
    #[cfg(not(multi_process))]
    let sockets = bind::bind(&addresses, (&settings).into()).await?;
    let begun = begin(alone, settings, (servers, keeper), sockets, addresses.clone(), endpoints).await;
    if begun.is_err() {
        bind::unlink(&addresses);
    }
    begun
}

#[cfg(multi_process)]
async fn warn_of_what_is_open(counts_threads: bool) {
    if let Some(found) = BeforeListen::look(counts_threads).await {
        crate::log::warn!(
            target: "multi_node",
            "{found}; open pools and caches in the closure of `http_with`, which runs in processes that serve, \
             or say `warn_before_listen(false)`"
        );
        found.keep();
    }
}

/// Other machines are joined by a gateway, which a master starts.
fn check_join(settings: &Settings, alone: bool) -> Result<(), Error> {
    match &settings.join {
        Some(join) if alone => Err(Error::Option {
            option: "join",
            value: join.to_string(),
            allowed: "this process serves alone, and joining other machines needs nodes".to_owned(),
        }),
        #[cfg(multi_process)]
        _ => crate::gateway_plan::check(settings),
        #[cfg(not(multi_process))]
        _ => Ok(()),
    }
}

/// Resolves the user and group of nodes. A process that serves alone cannot run as another user.
fn identify(settings: &mut Settings, alone: bool) -> Result<(), Error> {
    if let (true, Some((option, name))) = (alone, settings.launch.runs_as()) {
        return Err(Error::Option {
            option,
            value: name.to_owned(),
            allowed: "this process serves alone, with its own privileges; it needs nodes".to_owned(),
        });
    }
    #[cfg(multi_process)]
    settings.identify()?;
    Ok(())
}

async fn begin(
    alone: bool,
    settings: Settings,
    (servers, keeper): (Servers, Option<Keeper>),
    sockets: Vec<Vec<Socket>>,
    addresses: Vec<Vec<Address>>,
    endpoints: Endpoints,
) -> Result<Nodes, Error> {
    if alone {
        if !cfg!(multi_process) && settings.nodes > 0 {
            crate::log::warn!("this system has no nodes, so one process serves");
        }
        return single::listen((servers, keeper), sockets, addresses, settings, endpoints).await;
    }
    #[cfg(multi_process)]
    return crate::lead::lead(settings, Served::Linked(servers, keeper), sockets, addresses, endpoints).await;
    #[cfg(not(multi_process))]
    unreachable!("without several processes one serves alone");
}
