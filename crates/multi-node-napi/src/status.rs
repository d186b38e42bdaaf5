//! The fleet's status, as JavaScript reads it.

use std::time::UNIX_EPOCH;

use multi_node::Status;
use multi_node::status::{Exit, SlotStatus};
use napi_derive::napi;

/// All slots at one moment.
#[napi(object)]
pub struct FleetStatus {
    pub ready: bool,
    pub wanted: u32,
    pub slots: Vec<SlotState>,
}

/// One slot.
#[napi(object)]
pub struct SlotState {
    pub slot: u32,
    pub id: Option<String>,
    pub pid: Option<u32>,
    pub state: String,
    /// Milliseconds since 1970.
    pub since: f64,
    pub generation: f64,
    pub restarts: f64,
    pub last_exit: Option<LastExit>,
    pub connections: f64,
    pub requests: f64,
    pub in_flight: f64,
}

/// How a process ended: one of both is there, or neither where that is not known.
#[napi(object)]
pub struct LastExit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl From<Status> for FleetStatus {
    fn from(status: Status) -> FleetStatus {
        let ready = status.is_ready();
        let slots = status.slots.into_iter().map(SlotState::from).collect();
        FleetStatus { ready, wanted: u32::try_from(status.wanted).unwrap_or(u32::MAX), slots }
    }
}

impl From<SlotStatus> for SlotState {
    fn from(slot: SlotStatus) -> SlotState {
        SlotState {
            slot: number(slot.slot),
            id: slot.id.map(|id| id.to_string()),
            pid: slot.pid,
            state: slot.state.to_string(),
            since: slot.since.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0),
            generation: slot.generation.to_string().parse().unwrap_or(0.0),
            restarts: slot.restarts as f64,
            last_exit: slot.last_exit.map(LastExit::from),
            connections: slot.connections as f64,
            requests: slot.requests as f64,
            in_flight: slot.in_flight as f64,
        }
    }
}

impl From<Exit> for LastExit {
    fn from(exit: Exit) -> LastExit {
        match exit {
            Exit::Code(code) => LastExit { code: Some(code), signal: None },
            Exit::Signal(signal) => LastExit { code: None, signal: Some(signal) },
            Exit::Unknown => LastExit { code: None, signal: None },
        }
    }
}

/// A slot's number.
pub(crate) fn number(slot: multi_node::status::Slot) -> u32 {
    u32::try_from(slot.index()).expect("slots are 16-bit numbers")
}
