//! How many file descriptors the processes of a program need beside those of their clients: a sum of named parts, which decides
//! whether `listen` can begin, how many connections a process allows by default, and how far `scale` may go. Pure.

use std::fmt;

use multi_node_fleet::DRAINING_GENERATIONS;

use crate::Error;

/// Standard streams, libraries, epoll instances, the load table, programs that are held, what a start or an upgrade has open for
/// a moment, and some of the program's own.
const ITSELF: usize = 64;

/// A server of the library's own: its socket, and the most clients that it has at once.
const ENDPOINT: usize = 1 + 64;

/// So few connections a process serves in any case.
const LEAST_CONNECTIONS: usize = 16;

/// The application's stream and the hand-off stream.
const STREAMS_A_PEER: usize = 2;

/// The link of the bus, which is opened by the first message to a peer.
pub const LINKS_A_PEER: usize = 1;

/// What a node has open for each other process.
const FILES_A_PEER: usize = STREAMS_A_PEER + LINKS_A_PEER;

/// How many pairs of processes are joined before what was made for them is sent.
pub const PAIRS_AT_ONCE: usize = 16;

/// Both ends of both streams.
const FILES_A_PAIR: usize = 2 * STREAMS_A_PEER;

/// What of a program decides how many descriptors it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub nodes: usize,
    /// How many nodes of the next generation start beside all others.
    pub surge: usize,
    /// Listening sockets.
    pub sockets: usize,
    /// Whether processes are joined with each other.
    pub peers: bool,
    pub master_serves: bool,
    /// Control socket and metrics.
    pub endpoints: usize,
    /// Where nodes are of a program that does not link this crate: what its master has open for each, beside what it has for any.
    pub foreign: Option<usize>,
    /// Whether there is a gateway to other machines.
    pub gateway: bool,
}

/// The descriptors that one kind of process needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Whose.
    process: &'static str,
    parts: Vec<(usize, String)>,
}

impl Shape {
    /// How many nodes may live at once: those that serve, those that come up beside them, and two older generations that drain.
    pub fn most_alive(&self) -> usize {
        (1 + DRAINING_GENERATIONS) * self.nodes + self.surge.max(1)
    }

    /// The same for this number of nodes, if it is larger.
    pub fn of_nodes(self, nodes: usize) -> Shape {
        Shape { nodes: nodes.max(self.nodes), ..self }
    }

    /// How many descriptors a node's streams and links to all other processes take.
    pub fn mesh(&self) -> usize {
        let streams = if self.peers { FILES_A_PEER * self.most_alive() } else { 0 };
        streams + self.gateway_links()
    }

    /// A process has a link to the gateway, and while another one starts to the one before.
    fn gateway_links(&self) -> usize {
        if self.gateway { 2 * LINKS_A_PEER } else { 0 }
    }

    pub fn master(&self) -> Demand {
        let alive = self.most_alive();
        let joins = self.peers && self.foreign.is_none();
        // Process and control socket, the stream and the link; the master has no use for its end of a hand-off stream.
        let joined = if joins { 1 + LINKS_A_PEER } else { 0 };
        let each = 2 + joined + self.foreign.unwrap_or(0);
        let serving = if self.master_serves { 4 * self.sockets + LEAST_CONNECTIONS } else { 0 };
        let parts = [
            (ITSELF, String::from("for itself")),
            (self.sockets, String::from("listening sockets")),
            (serving, String::from("to serve beside its nodes")),
            (self.endpoints * ENDPOINT, String::from("for the control socket and metrics")),
            (if joins { PAIRS_AT_ONCE * FILES_A_PAIR } else { 0 }, String::from("for streams that are being made")),
            (alive * each, format!("for {} ({each} each)", self.at_once())),
            (self.gateway_files(), String::from("for the gateway to other machines")),
        ];
        Demand::new("the master", parts)
    }

    pub fn node(&self) -> Demand {
        let gateway = if self.gateway { ", and a gateway" } else { "" };
        let others = format!("for streams to {} and the master ({FILES_A_PEER} each){gateway}", self.at_once());
        Demand::of_node(self.sockets, self.mesh(), others)
    }

    /// Of the master: the process and its control socket too.
    fn gateway_files(&self) -> usize {
        if self.gateway { 2 + self.gateway_links() } else { 0 }
    }

    fn at_once(&self) -> String {
        format!("{} nodes at once, of which two generations may drain", self.most_alive())
    }

    /// Fails where the limit of open files has no room for what each process needs.
    pub fn check(&self, limit: Option<u64>) -> Result<(), Error> {
        let foreign = self.foreign.is_some();
        let demands = std::iter::once(self.master()).chain((!foreign).then(|| self.node()));
        let largest = demands.max_by_key(Demand::total);
        largest.map_or(Ok(()), |demand| demand.check(limit))
    }

    /// The most nodes that `scale` may ask for; `allowed` is what other limits allow.
    pub fn most_nodes(&self, limit: Option<u64>, allowed: usize) -> usize {
        let fits = |nodes: &usize| self.of_nodes(*nodes).check(limit).is_ok();
        (self.nodes..=allowed).rev().find(fits).unwrap_or(self.nodes)
    }
}

impl Demand {
    fn new(process: &'static str, parts: impl IntoIterator<Item = (usize, String)>) -> Demand {
        Demand { process, parts: parts.into_iter().filter(|(count, _)| *count > 0).collect() }
    }

    /// Of a node whose master says how many descriptors its streams take.
    pub fn of_welcomed(sockets: usize, mesh: usize) -> Demand {
        Demand::of_node(sockets, mesh, String::from("for streams to the other processes"))
    }

    fn of_node(sockets: usize, mesh: usize, others: String) -> Demand {
        let parts = [
            (ITSELF, String::from("for itself")),
            (LEAST_CONNECTIONS, String::from("for connections at least")),
            // One is watched, one accepts, and one is kept to close the address once the master is gone. Where the runtime waits itself, it
            // has a mark and an epoll instance for each.
            (5 * sockets, String::from("for listening sockets (5 each)")),
            (mesh, others),
        ];
        Demand::new("each node", parts)
    }

    /// Of a process that serves alone.
    pub fn alone(sockets: usize, endpoints: usize) -> Demand {
        let parts = [
            (ITSELF, String::from("for itself")),
            (LEAST_CONNECTIONS, String::from("for connections at least")),
            (sockets, String::from("for listening sockets")),
            (endpoints * ENDPOINT, String::from("for the control socket and metrics")),
        ];
        Demand::new("this process", parts)
    }

    pub fn total(&self) -> usize {
        self.parts.iter().map(|(count, _)| count).sum()
    }

    /// Fails where the limit has no room for it.
    pub fn check(&self, limit: Option<u64>) -> Result<(), Error> {
        let needed = self.total() as u64;
        match limit.filter(|limit| *limit < needed) {
            Some(limit) => Err(Error::OpenFiles { process: self.process, needed, limit, sum: self.to_string() }),
            None => Ok(()),
        }
    }

    /// How many connections the limit has room for beside it, less a tenth for the program's own files; `None`: any number.
    pub fn connections(&self, limit: Option<u64>) -> Option<usize> {
        let others = self.total().saturating_sub(LEAST_CONNECTIONS);
        let left = usize::try_from(limit?).unwrap_or(usize::MAX).saturating_sub(others);
        Some((left - left / 10).max(LEAST_CONNECTIONS))
    }
}

/// The sum: `64 for itself + 1 listening sockets + …`.
impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (count, what)) in self.parts.iter().enumerate() {
            write!(f, "{}{count} {what}", if index > 0 { " + " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINKED: Shape = Shape {
        nodes: 4,
        surge: 1,
        sockets: 1,
        peers: true,
        master_serves: false,
        endpoints: 0,
        foreign: None,
        gateway: false,
    };

    fn any_shape() -> impl Strategy<Value = Shape> {
        let sizes = (1_usize..300, 0_usize..300, 1_usize..20, 0_usize..3);
        (sizes, any::<bool>(), any::<bool>(), prop::option::of(1_usize..6)).prop_map(
            |((nodes, surge, sockets, endpoints), peers, master_serves, foreign)| Shape {
                nodes,
                surge,
                sockets,
                peers,
                master_serves,
                endpoints,
                foreign,
                gateway: surge % 2 == 1,
            },
        )
    }

    #[test]
    fn sixty_nodes_fit_into_1024_descriptors() {
        let shape = Shape { nodes: 60, endpoints: 2, sockets: 2, ..LINKED };
        assert_eq!(shape.most_alive(), 181);
        shape.check(Some(1024)).expect("as the documents say");
    }

    #[test]
    fn the_error_shows_the_sum_and_what_to_do() {
        let error = Shape { nodes: 64, ..LINKED }.check(Some(256)).expect_err("too few");
        assert_eq!(
            error.to_string(),
            "the limit of open files is 256, and the master needs 901: 64 for itself + 1 listening sockets \
             + 64 for streams that are being made + 772 for 193 nodes at once, of which two generations may drain (4 each); \
             raise it (`ulimit -n 901`, systemd: `LimitNOFILE=901`) or set fewer `nodes`"
        );
        assert!(matches!(error, Error::OpenFiles { limit: 256, needed: 901, .. }));
    }

    #[test]
    fn nodes_of_other_programs_have_no_streams() {
        let foreign = Shape { foreign: Some(1), ..LINKED };
        assert!(foreign.master().total() < LINKED.master().total());
        assert!(!foreign.master().to_string().contains("streams"), "{}", foreign.master());
    }

    proptest! {
        #[test]
        fn what_fits_is_exactly_what_the_sum_says(shape in any_shape(), limit in 0_u64..5000) {
            let (master, node) = (shape.master().total() as u64, shape.node().total() as u64);
            let needed = if shape.foreign.is_some() { master } else { master.max(node) };
            prop_assert_eq!(shape.check(Some(limit)).is_ok(), limit >= needed);
            prop_assert!(shape.check(None).is_ok());
            if let Err(Error::OpenFiles { needed: said, sum, .. }) = shape.check(Some(limit)) {
                prop_assert_eq!(said, needed);
                let of_words = |part: &str| part.split(' ').next().and_then(|count| count.parse::<u64>().ok());
                prop_assert_eq!(sum.split(" + ").filter_map(of_words).sum::<u64>(), needed, "{}", sum);
            }
        }

        #[test]
        fn connections_never_take_what_was_summed(shape in any_shape(), limit in 0_u64..100_000) {
            prop_assume!(shape.check(Some(limit)).is_ok());
            for demand in [shape.master(), shape.node()] {
                let connections = demand.connections(Some(limit)).expect("there is a limit");
                prop_assert!(connections >= LEAST_CONNECTIONS);
                let most = (limit as usize).saturating_sub(demand.total() - LEAST_CONNECTIONS).max(LEAST_CONNECTIONS);
                prop_assert!(connections <= most, "{} of {}", connections, most);
            }
        }

        #[test]
        fn scaling_ends_where_the_sum_does(shape in any_shape(), limit in 0_u64..5000, more in 0_usize..100) {
            prop_assume!(shape.check(Some(limit)).is_ok());
            let most = shape.most_nodes(Some(limit), shape.nodes + more);
            let fits = |nodes| Shape { nodes, ..shape }.check(Some(limit)).is_ok();
            prop_assert!(fits(most));
            prop_assert!(most == shape.nodes + more || !fits(most + 1));
        }

        #[test]
        fn more_of_anything_needs_no_less(shape in any_shape()) {
            let total = |shape: Shape| shape.master().total() + shape.node().total();
            let more = [
                Shape { nodes: shape.nodes + 1, ..shape },
                Shape { surge: shape.surge + 1, ..shape },
                Shape { sockets: shape.sockets + 1, ..shape },
                Shape { peers: true, ..shape },
                Shape { endpoints: shape.endpoints + 1, ..shape },
            ];
            for more in more {
                prop_assert!(total(more) >= total(shape), "{:?}", more);
            }
        }
    }
}
