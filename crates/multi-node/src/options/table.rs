//! The table of options that are one value each. A row is all there is of one: its method with its documentation, its field, default and
//! check, its line in `describe`, its flag of `multi-node run` and its name in that command's file.

use std::time::Duration;

use super::settings::{MOST_NODES, any, counted, finite, positive, silence, within};
use super::value::{OneValue, shown};
use super::{OptionGroup, OptionInfo, OptionKind, OptionValue, Options};
use crate::Error;
use crate::limits::MOST_KEYS;

/// Each row: what it is about and what kind of value it has; whether `multi-node run` has it; the method with its argument, what is kept
/// and the default; the check; a sentence for people who see no more of it.
macro_rules! table {
    ($(
        $(#[doc = $doc:literal])*
        $group:ident, $kind:ident, $of_run:ident:
        $name:ident($arg:ident: $given:ty) -> $kept:ty = $default:expr, $check:expr, $help:literal;
    )*) => {
        /// Their values.
        #[derive(Clone, Debug)]
        pub(crate) struct Values {
            $(pub(crate) $name: $kept,)*
        }

        impl Default for Values {
            fn default() -> Values {
                Values { $($name: $default,)* }
            }
        }

        impl Options {
            $(
                $(#[doc = $doc])*
                pub fn $name(mut self, $arg: $given) -> Options {
                    self.values.$name = $arg.into();
                    self
                }
            )*
        }

        impl Values {
            /// The values, if each of them is allowed.
            pub(super) fn check(self) -> Result<Values, Error> {
                Ok(Values { $($name: $check(stringify!($name), self.$name)?,)* })
            }

            /// The table, these values being the defaults.
            pub(super) fn table(&self) -> Vec<OptionInfo> {
                vec![$(OptionInfo {
                    name: stringify!($name),
                    group: OptionGroup::$group,
                    kind: OptionKind::$kind,
                    default: self.$name.value(),
                    help: $help,
                    of_run: $of_run,
                },)*]
            }

            /// Whether there is an option of this name, and it takes this kind of value.
            pub(super) fn set(&mut self, name: &str, value: OptionValue) -> bool {
                match name {
                    $(stringify!($name) => OneValue::from_value(value).map(|value| self.$name = value).is_some(),)*
                    _ => false,
                }
            }
        }
    };
}

/// `multi-node run` has it too.
const RUN: bool = true;
/// For programs that link the library only.
const LINKED: bool = false;

impl Values {
    /// Each option of these groups with its value, for people.
    pub(super) fn listed(&self, groups: &[OptionGroup]) -> Vec<(&'static str, String)> {
        let of_groups = self.table().into_iter().filter(|option| groups.contains(&option.group));
        of_groups.map(|option| (option.name, shown(option.kind, option.default))).collect()
    }

    pub(crate) fn rolling(&self) -> bool {
        self.rolling.unwrap_or(true)
    }

    pub(crate) fn settle(&self) -> Duration {
        self.settle.unwrap_or_default()
    }

    /// How long a node may be silent; `None`: for ever.
    pub(crate) fn silence(&self) -> Option<Duration> {
        Some(self.hang_timeout).filter(|time| !time.is_zero())
    }
}

table! {
    /// The mode of Unix-socket files. Default `0o666`: every user who reaches the directory may connect.
    Addresses, Mode, RUN:
    unix_mode(mode: u32) -> u32 = 0o666, |name, mode| within(name, mode, 0..=0o777),
    "The mode of Unix-socket files";

    /// How many connections may wait in the listener's queue. Default 4096; the system caps it at
    /// `net.core.somaxconn` (listen(2)).
    Addresses, Whole, RUN:
    backlog(connections: u32) -> u32 = 4096, |name, count| within(name, count, 1..=i32::MAX as u32),
    "How many connections may wait in a socket's queue";

    /// The most nodes that [`Handle::scale`](crate::Handle::scale) may ask for. Default 256, at most 4096.
    Nodes, Whole, RUN:
    max_nodes(nodes: usize) -> usize = 256, |name, nodes| within(name, nodes, 1..=MOST_NODES),
    "The most nodes that `scale` may ask for";

    /// Of how many keys [limits](crate::Handle::limit) count at once, all limits together; a key counts from its first event until it has
    /// been quiet for as long as its quota says. Default 65,536, at most 16,777,216. Each takes 16 bytes of memory, once it is used. Where
    /// there is no room for a key, its events are allowed, and counted in `multi_node_limit_overflows_total`.
    Nodes, Whole, LINKED:
    max_keys(keys: usize) -> usize = 65_536, |name, keys| within(name, keys, 1..=MOST_KEYS),
    "Of how many keys limits count at once";

    /// The largest message of [topics](crate::Handle::topic) and requests, in bytes. Default 1 MiB; 1 KiB to 16 MiB. A larger one is an
    /// error for who sends it.
    Nodes, Bytes, LINKED:
    max_message(bytes: usize) -> usize = 1 << 20, |name, bytes| within(name, bytes, 1 << 10..=16 << 20),
    "The largest message of topics and requests";

    /// How many bytes of messages wait for another process that reads slowly. Default 4 MiB; 64 KiB to 1 GiB. It misses those for which
    /// there is no room, and sees that as [`Lagged`](crate::bus::TypedEvent::Lagged).
    Nodes, Bytes, LINKED:
    max_peer_backlog(bytes: usize) -> usize = 4 << 20, |name, bytes| within(name, bytes, 64 << 10..=1 << 30),
    "How many bytes of messages wait for a slow process";

    /// How many messages wait in one subscription of a [topic](crate::Handle::topic). Default 4096; 1 to 1,048,576. It misses those for
    /// which there is no room, and sees that as [`Lagged`](crate::bus::TypedEvent::Lagged).
    Nodes, Whole, LINKED:
    max_subscription_backlog(messages: usize) -> usize = 4096, |name, messages| within(name, messages, 1..=1 << 20),
    "How many messages wait in a subscription";

    /// How many requests of this process may wait for their answers, and how many of others it handles at a time. Default 1024; 1 to
    /// 1,048,576. Further ones fail as [`Overloaded`](crate::bus::RequestError::Overloaded).
    Nodes, Whole, LINKED:
    max_requests_in_flight(requests: usize) -> usize = 1024, |name, requests| within(name, requests, 1..=1 << 20),
    "How many requests between processes are under way at once";

    /// Whether the master serves too. Default `false`: a master that serves is not reloaded, and a handler's bug takes
    /// it down with the supervision. `true` restores the original's behaviour.
    Nodes, Flag, LINKED:
    master_listen(serves: bool) -> bool = false, any,
    "Whether the master serves too";

    /// Whether each process gets a stream to every other. Default `true`; `false` saves four file descriptors for each
    /// pair, two in each, and goes without what needs them: idle connections are closed in a drain, not handed off.
    Nodes, Flag, RUN:
    peers(join: bool) -> bool = true, any,
    "Whether nodes that link the library are joined by streams";

    /// Whether other nodes answer requests that wait on kept connections of a node that computes. Default `true`.
    ///
    /// It holds for nodes whose runtime has one thread. When that has not gone on for about a millisecond, since a handler computes or blocks,
    /// other nodes take the connections of HTTP/1, without TLS, that rest between two requests and on which the next one waits, if the last
    /// request had no body. When all nodes compute, requests wait as they do without this. Requests with owners
    /// ([`affinity`](Options::affinity)) stay, and so do all without [`peers`](Options::peers). A node that another program has stopped at that
    /// moment holds up to 16 of them until it continues or ends. `multi_node_busy_handoffs_total` counts what was taken.
    Nodes, Flag, LINKED:
    hand_off_when_busy(hand_off: bool) -> bool = true, any,
    "Whether other nodes answer requests on kept connections of a node that computes";

    /// Whether the library handles SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGUSR2. Default `true`; with `false` the program gives
    /// the commands itself, by [`Handle`](crate::Handle).
    Nodes, Flag, LINKED:
    signals(handle: bool) -> bool = true, any,
    "Whether the library handles signals";

    /// Whether nodes may give commands (`reload`, `scale`, `shutdown`). Default `false`: a node that was broken into must
    /// not own the fleet.
    Nodes, Flag, RUN:
    commands_from_nodes(allow: bool) -> bool = false, any,
    "Whether nodes that link the library may give commands, such as reload";

    /// Whether the master writes its log to standard error, a line for each event, as long as the program has no subscriber of
    /// `tracing`. Default `true`. A line that standard error does not take at once is left out, and counted.
    Nodes, Flag, LINKED:
    log_to_stderr(log: bool) -> bool = true, any,
    "Whether the master's log goes to standard error without a subscriber of `tracing`";

    /// Whether the master warns of TCP connections and threads that were opened before [`listen`](crate::listen()): code
    /// there runs in every process, so each opens its own. Default `true`.
    /// [`Handle::before_listen`](crate::Handle::before_listen) lists them too.
    ///
    /// The threads of a tokio runtime, of `tracing-appender` and of allocators do not count, nor does what the process was started
    /// with, and with another event loop's [`heartbeat`](Options::heartbeat) no thread does. Linux only.
    Nodes, Flag, LINKED:
    warn_before_listen(warn: bool) -> bool = true, any,
    "Whether the master warns of connections and threads that were opened before `listen`";

    /// How long a node may take from its start until it is ready. Default 60 s; longer, and it is killed.
    Health, Time, RUN:
    start_timeout(time: Duration) -> Duration = Duration::from_secs(60), positive,
    "How long a node may take until it serves; then it is killed";

    /// How long a node's runtime may be silent before the node counts as hung: it is reported, gets SIGABRT, 5 s later
    /// SIGKILL, and is replaced. Default 30 s, at least 1 s; 0 turns the detection off.
    Health, Time, RUN:
    hang_timeout(time: Duration) -> Duration = Duration::from_secs(30), silence,
    "How long a node that links the library may be silent before it is replaced; 0s: for ever";

    /// Whether a reload replaces slot by slot. Otherwise all new nodes start beside the old ones, and all old nodes serve
    /// until every new one has proved itself ([`settle`](Options::settle)): a release that does not is ended, and no old node
    /// has been touched. That takes twice the memory and twice the database connections for that time.
    ///
    /// Default: slot by slot in programs that link this crate, all together for programs that do not,
    /// since the code of an interpreted program is gone from disk, and a slot whose old node has left cannot be taken back.
    Replacing, Flag, RUN:
    rolling(rolling: bool) -> Option<bool> = None, |_, rolling: Option<bool>| Ok::<_, Error>(rolling.or(Some(true))),
    "Replaces slot by slot, for programs that do not fit twice: each new node must serve for --settle before its old one ends. Slots \
     that were replaced cannot be taken back when a later one fails";

    /// How long a new node has to serve before the old node of its slot drains. If a reload is not
    /// [`rolling`](Options::rolling), the time counts once, from the last node that became ready. A new node fails if, before
    /// that, it ends, leaves, stops serving, or gives bad answers to the readiness check
    /// request. Then the command fails too. This also holds for restarts of one slot and for recycling. Default: 0 in
    /// programs that link this crate, 3 s for programs that do not.
    Replacing, Time, RUN:
    settle(time: Duration) -> Option<Duration> = None, |name, time: Option<_>| finite(name, time.unwrap_or_default()).map(Some),
    "How long new nodes must serve before old ones are told to end, counted once, from the last that became ready. All old nodes serve \
     until then, and whatever goes wrong before ends the new nodes alone. It costs twice the memory and twice the database connections \
     for that time";

    /// How many new nodes a [`rolling`](Options::rolling) reload starts ahead of the old ones. Default 1. 0 stops a slot's old
    /// node first, for programs whose memory does not fit twice.
    Replacing, Whole, RUN:
    surge(nodes: usize) -> usize = 1, any,
    "How many new nodes a reload starts ahead of the old ones, with --rolling; 0 ends the old one first";

    /// How long a node may take to finish its connections. Default 30 s; then it is killed. Connections that are left half a
    /// second before that (a quarter of shorter times) are cut, so that the node can still end in an orderly way.
    Replacing, Time, RUN:
    drain_timeout(time: Duration) -> Duration = Duration::from_secs(30), finite,
    "How long a node may take to end before it is killed";

    /// How long the nodes continue to accept after a command to shut down, so that load balancers can take the program out
    /// first. Default 0.
    Replacing, Time, RUN:
    shutdown_delay(time: Duration) -> Duration = Duration::ZERO, finite,
    "How long nodes go on before they are told to end when all ends";

    /// How long the nodes continue to serve after an [`upgrade`](crate::Handle::upgrade) without a message of the new master,
    /// before they drain and end. Default 60 s: a new program that is slow to reach `listen` costs nothing.
    Replacing, Time, LINKED:
    adopt_timeout(time: Duration) -> Duration = Duration::from_secs(60), finite,
    "How long nodes serve on after an upgrade without hearing of the new master";

    /// Whether a node that ends unasked is replaced. Default `true`.
    Restarting, Flag, RUN:
    restart(restart: bool) -> bool = true, any,
    "Whether a node that ends unasked is replaced";

    /// Recycles a node that has begun this number of HTTP requests. Its replacement is ready before it drains (with
    /// [`surge`](Options::surge) 0 the replacement starts after it has ended). Default: no limit. Nodes are sampled once a
    /// second, so a busy one serves some more. Each node's limit is lower by a random share of up to 10 %, so that slots do
    /// not come due at the same time.
    ///
    /// Recycling replaces one slot at a time, and never during a command. If the new node does not come up, the old one
    /// continues to serve, and the next attempt follows after the longest [`backoff`](Options::backoff).
    Restarting, Whole, RUN:
    max_requests(requests: u64) -> Option<u64> = None, counted,
    "Replaces a node after this number of requests, where the node reports them";

    /// Recycles a node that has served for so long, as [`max_requests`](Options::max_requests) does. Default: no limit.
    Restarting, Time, RUN:
    max_age(time: Duration) -> Option<Duration> = None, |name, age: Option<_>| age.map(|age| positive(name, age)).transpose(),
    "Replaces a node after this time of serving";

    /// Recycles a node that has this number of bytes of memory in RAM, as [`max_requests`](Options::max_requests) does, with
    /// no random share. Default: no limit. Nodes are sampled once a second, or less often if a sample takes more than 10 ms:
    /// sampling takes about 1 % of a core.
    ///
    /// The value is the sum over the node's process and all its descendants, as `status` shows it. It is PSS
    /// (proc_pid_smaps(5)), which divides a page among the processes that share it. So a page that a forked worker shares
    /// with its parent counts once. If PSS cannot be read, or after 100 ms of one sample, the value is RSS without pages that
    /// may be shared. A process that has left its parent, as daemons do, is not found. Two samples in a row have to exceed the limit: one
    /// that is taken while a worker is forked may count its pages twice.
    Restarting, Bytes, RUN:
    max_memory(bytes: u64) -> Option<u64> = None, counted,
    "Replaces a node that uses more RAM than this, its descendants included, such as 512MiB";
}
