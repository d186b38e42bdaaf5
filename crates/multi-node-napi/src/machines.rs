//! Other machines, as JavaScript sees them.

#![expect(clippy::needless_pass_by_value, reason = "Node-API makes owned values")]

use multi_node::bus::RemoteProcess;
use multi_node::status::{Machine, MachineProcess};
use napi_derive::napi;

use crate::remote::RemoteFields;
use crate::service::Service;

/// Another machine.
#[napi(object, object_from_js = false)]
pub struct MachineState {
    pub name: String,
    pub reachable: bool,
    pub wanted: u32,
    pub processes: Vec<MachineProcessState>,
}

/// What lives on it.
#[napi(object, object_from_js = false)]
pub struct MachineProcessState {
    pub id: String,
    pub process: String,
    pub slot: Option<u32>,
    pub pid: u32,
    pub state: String,
    pub generation: u32,
}

#[napi]
impl Service {
    /// This machine's name, if it is joined to others.
    #[napi]
    pub fn machine(&self) -> Option<String> {
        self.handle.machine()
    }

    /// The other machines that this process knows.
    #[napi]
    pub fn machines(&self) -> Vec<MachineState> {
        self.handle.machines().iter().map(MachineState::from).collect()
    }

    /// Which process of another machine has this id, if it is known.
    #[napi]
    pub fn remote(&self, id: String) -> Option<RemoteFields> {
        self.handle.remote(id.parse().ok()?).map(RemoteFields::from)
    }
}

impl From<&Machine> for MachineState {
    fn from(machine: &Machine) -> MachineState {
        let wanted = u32::try_from(machine.fleet.wanted).unwrap_or(u32::MAX);
        let processes = machine.fleet.processes.iter().map(|process| state_of(machine, process)).collect();
        MachineState { name: machine.name.clone(), reachable: machine.reachable, wanted, processes }
    }
}

fn state_of(machine: &Machine, process: &MachineProcess) -> MachineProcessState {
    let RemoteFields { id, process: shown, slot, .. } = RemoteProcess::of(machine, process).into();
    let (state, generation) = (process.state.to_string(), process.generation.number());
    MachineProcessState { id, process: shown, slot, pid: process.pid, state, generation }
}
