//! Whether there is a gateway to other machines, and what it gets to know.

use std::path::PathBuf;

use multi_node_supervisor::GatewayPlan;
use serde::{Deserialize, Serialize};

use crate::bus_bounds::BusBounds;
use crate::control::GatewaySettings;
use crate::join::{Join, JoinError};
use crate::options::Settings;
use crate::{Error, environment, sys};

/// The names of the cluster and of this machine, as far as they are not given: those of the program's file and of the host.
fn names(join: &Join) -> Result<(String, String), JoinError> {
    let program = environment::program().and_then(|path| path.file_name().map(PathBuf::from)).unwrap_or_default();
    Ok((join.cluster_or(&program.to_string_lossy())?, join.machine_or(&sys::process::host_name())?))
}

/// Whether a master can have a gateway by these settings.
pub(crate) fn check(settings: &Settings) -> Result<(), Error> {
    let Some(join) = &settings.join else { return Ok(()) };
    let refused = |allowed: String| Error::Option { option: "join", value: join.to_string(), allowed };
    if !cfg!(feature = "nats") && settings.launch.gateway.is_none() {
        return Err(refused("this program has no gateway to other machines: it needs the feature `nats`".to_owned()));
    }
    names(join).map(drop).map_err(|error| refused(error.to_string()))
}

/// What the master tells its gateway, which may be another program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GatewayTask {
    pub(crate) join: Join,
    pub(crate) cluster: String,
    pub(crate) machine: String,
    pub(crate) bounds: BusBounds,
}

impl GatewayTask {
    fn encode(&self) -> GatewaySettings {
        GatewaySettings::new(crate::control::to_message_pack(self).expect("texts, numbers and paths can be encoded"))
    }

    /// Reads what a master has sent.
    #[cfg(feature = "nats")]
    pub(crate) fn decode(settings: &GatewaySettings) -> Result<GatewayTask, Error> {
        crate::control::from_message_pack(settings.as_bytes())
            .map_err(|error| Error::Control { cause: format!("the settings of the gateway cannot be read: {error}") })
    }
}

/// The gateway that the settings ask for, which were checked.
pub(crate) fn plan(settings: &Settings) -> Option<GatewayPlan> {
    let join = settings.join.clone()?;
    let (cluster, machine) = names(&join).ok()?;
    let task = GatewayTask { join, cluster, machine: machine.clone(), bounds: settings.into() };
    Some(GatewayPlan { machine, program: settings.launch.gateway.clone(), settings: task.encode() })
}
