//! Nodes of programs that do not link the library: what their exec shims are given, and how it is seen that they serve.

mod advice;
mod closing;
mod encoding;
mod hooks;
mod linked;
mod node_js;
mod node_port;
mod notify;
mod observe;
mod observed;
mod primary_process;
mod primary_program;
mod probe;
mod process_event;
mod process_monitor;
mod programs;
mod suspicion;

use node_js::Ending as PrimaryEnding;
use node_js::{FromProcess, LONGEST, OfProcess, Queue, Queued, ToPrimary, read_frame};
use primary_program::PrimaryProgram;
use process_event::ProcessEvent;
use process_monitor::ProcessMonitor;
use programs::Foreign;
