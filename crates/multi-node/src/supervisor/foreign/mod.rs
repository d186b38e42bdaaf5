//! Nodes of programs that do not link this crate: what their stages are given, and how it is seen that they serve.

mod attendance;
mod outfit;

pub(super) use attendance::Attendance;
pub(super) use outfit::Foreign;
