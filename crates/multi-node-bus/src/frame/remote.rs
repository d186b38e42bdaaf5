//! How a process of another machine is named in bodies.

use multi_node_fleet::id::Slot;

use super::body::{Truncated, take_u64};
use crate::remote::RemoteProcess;

/// Stands for a process without a slot.
const NO_SLOT: u16 = u16::MAX;

/// Epoch, number, slot, the length of the machine's name, the name.
pub(crate) fn encode_remote(process: &RemoteProcess) -> Vec<u8> {
    let RemoteProcess { machine, epoch, number, slot } = process;
    let mut bytes = Vec::with_capacity(19 + machine.len());
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&slot.map_or(NO_SLOT, |slot| slot.0).to_le_bytes());
    // Names have at most 255 bytes.
    bytes.push(u8::try_from(machine.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(machine.as_bytes());
    bytes
}

/// The process, and what follows.
pub(crate) fn decode_remote(body: &[u8]) -> Result<(RemoteProcess, &[u8]), Truncated> {
    let (epoch, rest) = take_u64(body)?;
    let (number, rest) = take_u64(rest)?;
    let (slot, rest) = rest.split_first_chunk().ok_or(Truncated)?;
    let (&length, rest) = rest.split_first().ok_or(Truncated)?;
    let (machine, rest) = rest.split_at_checked(usize::from(length)).ok_or(Truncated)?;
    let machine = str::from_utf8(machine).map_err(|_| Truncated)?.into();
    let slot = Some(u16::from_le_bytes(*slot)).filter(|slot| *slot != NO_SLOT).map(Slot);
    Ok((RemoteProcess { machine, epoch, number, slot }, rest))
}
