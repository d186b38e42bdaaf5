//! `multi-node probe`: what is sent, which clients send it, how a run goes, and what is reported.

mod command;
mod progress;
mod report;
mod run;
mod sent;
mod text;

pub(crate) use report::{Counted, Loss, Report};
pub(crate) use run::{Job, Span, run};
pub(crate) use sent::Sent;
pub(crate) use text::probed;
