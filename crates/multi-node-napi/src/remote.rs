//! Processes of other machines, as JavaScript sees them.

use multi_node::bus::RemoteProcess;
use napi_derive::napi;

use crate::status::number;

/// A process of another machine.
#[napi(object, object_from_js = false)]
pub struct RemoteFields {
    /// By what requests and topics call it.
    pub id: String,
    /// By what people know it: `alpha/2#9c41d2e0.7`.
    pub process: String,
    pub machine: String,
    /// None of a master.
    pub slot: Option<u32>,
}

impl From<RemoteProcess> for RemoteFields {
    fn from(process: RemoteProcess) -> RemoteFields {
        let (id, shown) = (process.id().to_string(), process.to_string());
        RemoteFields { id, process: shown, machine: process.machine, slot: process.slot.map(number) }
    }
}
