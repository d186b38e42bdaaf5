//! What every node is given.

use std::os::fd::OwnedFd;

use multi_node_limits::SharedTable;

use crate::SharedSecret;
use crate::control::NodeSettings;
use crate::descriptors::Shape;
use crate::serve::{LoadTable, Socket};
use crate::supervisor::workload::{Properties, Workload};
use crate::tls_state::TlsSource;

/// What every node is given.
pub(crate) struct NodeTemplate {
    /// The addresses of each server, as they were given.
    pub(crate) addresses: Vec<Vec<String>>,
    pub(crate) sockets: Vec<Vec<Socket>>,
    pub(crate) load: LoadTable,
    pub(crate) load_file: OwnedFd,
    pub(crate) wake_fd: OwnedFd,
    /// The table in which limits count, and its file.
    pub(crate) limits: (SharedTable, OwnedFd),
    pub(crate) settings: NodeSettings,
    pub(crate) secret: SharedSecret,
    /// What nodes need to serve by TLS.
    pub(crate) tls: TlsSource,
    /// What decides how many descriptors a node needs.
    pub(crate) shape: Shape,
    /// What nodes run, and what follows from that.
    pub(crate) workload: Box<dyn Workload>,
    pub(crate) properties: Properties,
}
