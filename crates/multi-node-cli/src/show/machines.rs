//! The machines of a cluster.

use multi_node::admin::{MachineInfo, MachineProcessInfo};
use multi_node::status::State;

use super::instance::state_colour;
use super::table::Cell;
use super::{Colour, Paint, Table, UNKNOWN};

/// What a narrow terminal does without, the least needed first.
const LEAST_NEEDED: [&str; 3] = ["PROCESS", "PID", "GEN"];

/// A line for each machine, and a table of their nodes.
pub(crate) fn machines(machines: &[MachineInfo], paint: Paint, width: usize) -> String {
    let heads: Vec<String> = machines.iter().map(|machine| head(machine, paint)).collect();
    let mut table = Table::new(&[
        ("MACHINE", false),
        ("SLOT", true),
        ("NODE", false),
        ("PID", true),
        ("STATE", false),
        ("GEN", true),
        ("PROCESS", false),
    ]);
    for machine in machines {
        let nodes = machine.processes.iter().filter(|process| process.slot.is_some());
        nodes.for_each(|process| table.row(row(machine, process)));
    }
    format!("{}\n\n{}", heads.join("\n"), table.within(width, &LEAST_NEEDED).text(paint))
}

fn head(machine: &MachineInfo, paint: Paint) -> String {
    let serves = |process: &&MachineProcessInfo| process.slot.is_some() && process.state == State::Serving;
    let serving = machine.processes.iter().filter(serves).count();
    let (colour, state) = match machine.reachable {
        false => (Colour::Bad, "unreachable".to_owned()),
        true if serving >= machine.wanted => (Colour::Good, format!("{serving} of {} serve", machine.wanted)),
        true => (Colour::Passing, format!("{serving} of {} serve", machine.wanted)),
    };
    let here = if machine.local { "  (this machine)" } else { "" };
    format!("{}  {}{here}", paint.text(Colour::Head, &machine.machine), paint.text(colour, &state))
}

fn row(machine: &MachineInfo, process: &MachineProcessInfo) -> Vec<Cell> {
    let plain = |text: String| (text, None);
    let state = match machine.reachable {
        true => (process.state.to_string(), Some(state_colour(process.state))),
        false => ("unknown".to_owned(), Some(Colour::Bad)),
    };
    vec![
        plain(machine.machine.clone()),
        plain(process.slot.map_or_else(|| UNKNOWN.to_owned(), |slot| slot.to_string())),
        plain(process.id.clone()),
        plain(process.pid.to_string()),
        state,
        plain(process.generation.to_string()),
        plain(process.process.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_machine_has_a_line_and_its_nodes() {
        let process = |process: &str, id: &str, slot: Option<u16>| json!({ "process": process, "id": id, "slot": slot, "pid": 4711, "state": "serving", "generation": 1 });
        let machines = json!([
            { "machine": "alpha", "local": true, "reachable": true, "wanted": 1,
              "processes": [process("alpha/master#5.0", "master", None), process("alpha/0#5.1", "node-1", Some(0))] },
            { "machine": "beta", "local": false, "reachable": false, "wanted": 2, "processes": [process("beta/1#6.4", "node-4", Some(1))] },
        ]);
        let machines: Vec<MachineInfo> = serde_json::from_value(machines).expect("machines");
        let expected = "\
alpha  1 of 1 serve  (this machine)
beta  unreachable

MACHINE  SLOT  NODE     PID  STATE    GEN  PROCESS
alpha       0  node-1  4711  serving    1  alpha/0#5.1
beta        1  node-4  4711  unknown    1  beta/1#6.4";
        assert_eq!(super::machines(&machines, Paint::Plain, usize::MAX), expected);
    }
}
