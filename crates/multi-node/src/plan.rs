//! What the parts of the library are told of the settings.

use multi_node_process::bind::Manner;
#[cfg(multi_process)]
use multi_node_process::family::{self, Run};

#[cfg(multi_process)]
use crate::options::ControlName;
use crate::options::Settings;

impl From<&Settings> for Manner {
    fn from(settings: &Settings) -> Manner {
        Manner {
            backlog: settings.backlog,
            unix_mode: Some(settings.unix_mode),
            nodes_are_others: settings.launch.identity.is_some(),
        }
    }
}

/// The run that this process leads.
#[cfg(multi_process)]
pub(crate) fn own_run(settings: &Settings) -> Run {
    let path = settings.control_path.as_ref().map(|path| path.display().to_string());
    // A name that another program might have taken tells less than the addresses.
    let name = match &settings.control {
        ControlName::Preferred(_) if !settings.addresses.is_empty() => None,
        control => control.name(),
    };
    family::own_run(name.or(path.as_deref()), &settings.addresses)
}
