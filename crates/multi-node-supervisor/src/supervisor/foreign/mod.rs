//! Nodes of programs that do not link this crate: what their exec shims are given, and how it is seen that they serve.

mod advice;
mod encoding;
mod linked;
mod node_js;
mod node_port;
mod notify;
mod observe;
mod primary_program;
mod probe;
mod process_event;
mod process_monitor;
mod programs;
mod suspicion;

pub(super) use advice::{advice, in_use, last_line};
pub(crate) use encoding::InheritedPrograms;
pub(super) use encoding::{ForeignState, ProcessMonitorState};
pub(super) use node_js::Ending as PrimaryEnding;
pub(super) use node_js::{FromProcess, LONGEST, OfProcess, Queue, Queued, ToPrimary, read_frame};
pub(super) use primary_program::PrimaryProgram;
pub(crate) use process_event::ProcessEvent;
pub(super) use process_monitor::{Main, ProcessMonitor};
pub(super) use programs::Foreign;
