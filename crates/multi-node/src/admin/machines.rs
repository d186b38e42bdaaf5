//! What is shown of the machines of a cluster: plain values in JSON's terms.

use multi_node_bus::RemoteProcess;
use multi_node_fleet::machines::{Machine, MachineFleet, MachineProcess};
use multi_node_fleet::status::{State, Status};
use serde::{Deserialize, Serialize};

use super::protocol::Refusal;
use crate::Handle;
use crate::id::Slot;

/// A machine of the cluster, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MachineInfo {
    /// Its name.
    pub machine: String,
    /// Whether it is the machine that answers.
    pub local: bool,
    /// Whether it was heard in the last 8 s. If not, the rest is what was true before.
    pub reachable: bool,
    /// How many slots are meant to serve.
    pub wanted: usize,
    /// The processes that live, the master first.
    pub processes: Vec<MachineProcessInfo>,
}

/// One process of a [`MachineInfo`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MachineProcessInfo {
    /// Who it is among all machines, `alpha/2#9c41d2e0.7`: machine, slot, start of the program, node. Never used again.
    pub process: String,
    /// Who it is on its machine: `node-7`.
    pub id: String,
    /// Its slot; none of the master.
    pub slot: Option<Slot>,
    /// The process's number on its machine.
    pub pid: u32,
    /// What it is doing.
    pub state: State,
    /// The generation it was started for.
    pub generation: u32,
}

impl MachineInfo {
    fn of(machine: &Machine, local: bool) -> MachineInfo {
        let Machine { name, reachable, fleet, .. } = machine;
        let processes = fleet.processes.iter().map(|process| MachineProcessInfo::of(machine, process)).collect();
        MachineInfo { machine: name.clone(), local, reachable: *reachable, wanted: fleet.wanted, processes }
    }
}

impl MachineProcessInfo {
    fn of(machine: &Machine, process: &MachineProcess) -> MachineProcessInfo {
        let MachineProcess { id, slot, pid, state, generation, .. } = *process;
        let process = RemoteProcess::of(machine, process).to_string();
        MachineProcessInfo { process, id: id.to_string(), slot, pid, state, generation: generation.number() }
    }
}

/// All machines, this one first.
pub(super) fn machines(handle: &Handle) -> Result<Vec<MachineInfo>, Refusal> {
    let (own, status) = handle.own_machine();
    let Some((name, epoch)) = own else {
        let why = "this program joins no other machines (`Options::join`, `run --join`)".to_owned();
        return Err(Refusal { code: "not_joined".to_owned(), why });
    };
    let own = Machine::new(name, epoch, own_fleet(&status));
    let others = handle.machines();
    Ok(std::iter::once(MachineInfo::of(&own, true))
        .chain(others.iter().map(|one| MachineInfo::of(one, false)))
        .collect())
}

fn own_fleet(status: &Status) -> MachineFleet {
    MachineFleet::of(status, std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Generation, NodeId};

    #[test]
    fn processes_are_shown_by_the_names_that_others_know() {
        let process = MachineProcess::new(NodeId::node(7), Some(Slot(2)), 42, State::Serving, Generation(3));
        let mut machine = Machine::new("alpha", 0x9c, MachineFleet::new(4, vec![process]));
        machine.reachable = false;
        let shown = serde_json::to_value(MachineInfo::of(&machine, false)).expect("JSON");
        let process = serde_json::json!({
            "process": "alpha/2#9c.7", "id": "node-7", "slot": 2, "pid": 42, "state": "serving", "generation": 3,
        });
        let expected = serde_json::json!({
            "machine": "alpha", "local": false, "reachable": false, "wanted": 4, "processes": [process],
        });
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn a_program_on_its_own_refuses() {
        assert_eq!(machines(&Handle::detached()).expect_err("refused").code, "not_joined");
    }
}
