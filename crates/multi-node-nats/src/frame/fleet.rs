//! The processes of a machine, as bytes.
//!
//! ```text
//! wanted u16 | for each: number u64, slot u16, pid u32, state u8, generation u32
//! ```

use bytes::Bytes;
use multi_node_fleet::hash::fnv1a;
use multi_node_fleet::id::{Generation, NodeId};
use multi_node_fleet::machines::{MachineFleet, MachineProcess};
use multi_node_fleet::status::State;

use super::{FrameError, Rest, Sender, slot};

/// The states by their numbers here, which are never given to others.
const STATES: [State; 9] = [
    State::Empty,
    State::Starting,
    State::Initializing,
    State::Serving,
    State::Draining,
    State::Killing,
    State::Exited,
    State::BackingOff,
    State::Failed,
];

impl Sender {
    /// All processes in one frame: of 4096 it has 78 KiB.
    pub(crate) fn fleet(&self, fleet: &MachineFleet) -> Bytes {
        let mut frame = self.begin(6);
        frame.extend_from_slice(&u16::try_from(fleet.wanted).unwrap_or(u16::MAX).to_le_bytes());
        fleet.processes.iter().for_each(|process| put(&mut frame, process));
        frame.into()
    }

    /// `digest`: that of the machine's processes.
    pub(crate) fn alive(&self, digest: u64) -> Bytes {
        [&self.begin(7)[..], &digest.to_le_bytes()].concat().into()
    }

    pub(crate) fn leaves(&self) -> Bytes {
        self.begin(8).into()
    }

    /// Asks this machine for its processes.
    pub(crate) fn asks_fleet(&self, machine: &str) -> Bytes {
        [self.begin(9), super::name(machine)].concat().into()
    }
}

/// A number that most likely is another for other processes.
pub(crate) fn digest(fleet: &MachineFleet) -> u64 {
    let mut bytes = fleet.wanted.to_le_bytes().to_vec();
    fleet.processes.iter().for_each(|process| put(&mut bytes, process));
    fnv1a(bytes)
}

fn put(frame: &mut Vec<u8>, process: &MachineProcess) {
    let state = STATES.iter().position(|state| *state == process.state).unwrap_or_default();
    frame.extend_from_slice(&process.id.number().to_le_bytes());
    frame.extend_from_slice(&slot(process.slot));
    frame.extend_from_slice(&process.pid.to_le_bytes());
    frame.push(u8::try_from(state).unwrap_or_default());
    frame.extend_from_slice(&process.generation.number().to_le_bytes());
}

impl Rest {
    pub(super) fn fleet(&mut self) -> Result<MachineFleet, FrameError> {
        let wanted = u16::from_le_bytes(self.array()?);
        Ok(MachineFleet::new(wanted.into(), self.all(Rest::process)?))
    }

    fn process(&mut self) -> Result<MachineProcess, FrameError> {
        let (number, slot) = (u64::from_le_bytes(self.array()?), self.slot()?);
        let (pid, [state]) = (u32::from_le_bytes(self.array()?), self.array()?);
        let generation = Generation(u32::from_le_bytes(self.array()?));
        let state = *STATES.get(usize::from(state)).ok_or(FrameError::Malformed)?;
        Ok(MachineProcess::new(NodeId::from_number(number), slot, pid, state, generation))
    }
}

#[cfg(test)]
mod tests {
    use multi_node_fleet::id::Slot;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::{Body, Frame};
    use super::*;

    fn sender() -> Sender {
        Sender { machine: "a1".to_owned(), epoch: 0x0201 }
    }

    fn decoded(bytes: impl Into<Bytes>) -> Result<Body, FrameError> {
        Frame::decode(&bytes.into()).map(|frame| frame.body)
    }

    #[test]
    fn what_releases_have_said() {
        let begun = |kind: u8| [&[1, kind, 2][..], b"a1\x01\x02\0\0\0\0\0\0"].concat();
        let master = MachineProcess::new(NodeId::MASTER, None, 5, State::Serving, Generation::default());
        let node = MachineProcess::new(NodeId::node(7), Some(Slot(3)), 6, State::Draining, Generation(2));
        let fleet = MachineFleet::new(4, vec![master, node]);
        let processes =
            b"\x04\0\0\0\0\0\0\0\0\0\xff\xff\x05\0\0\0\x03\0\0\0\0\x07\0\0\0\0\0\0\0\x03\0\x06\0\0\0\x04\x02\0\0\0";
        assert_eq!(sender().fleet(&fleet), [&begun(6)[..], processes].concat());
        assert_eq!(decoded(sender().fleet(&fleet)), Ok(Body::Fleet(fleet)));
        let alive = [&begun(7)[..], b"\x05\0\0\0\0\0\0\0"].concat();
        let asks = [&begun(9)[..], b"\x01b"].concat();
        assert_eq!(
            (sender().alive(5), sender().leaves(), sender().asks_fleet("b")),
            (alive.clone().into(), begun(8).into(), asks.clone().into())
        );
        assert_eq!(
            (decoded(alive), decoded(begun(8)), decoded(asks)),
            (Ok(Body::Alive { digest: 5 }), Ok(Body::Leaves), Ok(Body::AsksFleet("b".to_owned())))
        );
        let cut = [&begun(6)[..], &processes[..20]].concat();
        assert_eq!(decoded(cut), Err(FrameError::Malformed));
        let mut unknown = [&begun(6)[..], &processes[..21]].concat();
        *unknown.get_mut(13 + 16).expect("the state") = 9;
        assert_eq!(decoded(unknown), Err(FrameError::Malformed), "a state of a later release");
    }

    proptest! {
        #[test]
        fn processes_are_read_again(
            wanted in 0..5000usize,
            processes in vec((any::<u64>(), prop::option::of(0..u16::MAX), any::<u32>(), 0..9usize, any::<u32>()), 0..50),
        ) {
            let process = |(number, slot, pid, state, generation): (u64, Option<u16>, u32, usize, u32)| {
                MachineProcess::new(NodeId::from_number(number), slot.map(Slot), pid, STATES[state], Generation(generation))
            };
            let fleet = MachineFleet::new(wanted, processes.into_iter().map(process).collect());
            prop_assert_eq!(decoded(sender().fleet(&fleet)), Ok(Body::Fleet(fleet)));
        }
    }
}
