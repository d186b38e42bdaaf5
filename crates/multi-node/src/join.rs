//! Where other machines are joined.

#[cfg(multi_process)]
use std::path::PathBuf;

pub use multi_node_nats::{Join, JoinError};

#[cfg(multi_process)]
use crate::{Error, environment, sys};

/// The names of the cluster and of this machine, as far as they are not given: those of the program's file and of the host.
#[cfg(multi_process)]
pub(crate) fn names(join: &Join) -> Result<(String, String), Error> {
    let program = environment::program().and_then(|path| path.file_name().map(PathBuf::from)).unwrap_or_default();
    let host = sys::process::host_name();
    let cluster = join.cluster_or(&program.to_string_lossy());
    let names = cluster.and_then(|cluster| Ok((cluster, join.machine_or(&host)?)));
    names.map_err(|error| Error::Option { option: "join", value: join.to_string(), allowed: error.to_string() })
}
