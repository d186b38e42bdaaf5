//! Nodes of programs that do not link this crate: what their stages are given, and how it is seen that they serve.

mod advice;
mod attendance;
mod linked;
mod node_js;
mod note;
mod notify;
mod observe;
mod outfit;
mod packing;
mod primary_program;
mod probe;
mod suspicion;

pub(super) use advice::{advice, in_use, last_line};
pub(super) use attendance::{Attendance, Main};
pub(super) use node_js::Ending as PrimaryEnding;
pub(super) use node_js::{FromProcess, LONGEST, OfProcess, Queue, Queued, ToPrimary, read_frame};
pub(crate) use note::Note;
pub(super) use outfit::Foreign;
pub(crate) use packing::Legacy;
pub(super) use packing::{AttendanceState, ForeignState};
pub(super) use primary_program::PrimaryProgram;
