//! Events of the library's thread, in the form that JavaScript gets.

use std::os::fd::OwnedFd;

use multi_node::{
    CanaryReport, ConnGuard, ExternalAcceptor, Metric, NodeExit, NodeId, PeerInfo, ReloadReport, Replacement,
    RequestCounts, ScaleReport,
};
use napi_derive::napi;
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::status::{LastExit, number};

/// Something that has happened.
pub(crate) enum Event {
    /// A server's connections can be taken.
    Serving { server: usize, acceptor: ExternalAcceptor },
    /// A server's certificate is there, or was replaced.
    Certificates { server: usize },
    /// A process that is joined drains.
    PeerDrains(NodeId),
    /// Another process is joined.
    Peer { info: PeerInfo, socket: OwnedFd },
    /// The fleet's status has changed.
    Changed,
    /// A node has ended.
    Exited(NodeExit),
    /// This process drains.
    Draining,
    /// A command has been carried out, or not.
    Answered { ticket: u32, outcome: Result<Report, Failure> },
    /// A connection was passed on; or no process took it, and its place in the counts comes back.
    Given { ticket: u32, outcome: Result<(), ConnGuard> },
    /// The library wants to know what has been measured.
    Measure(oneshot::Sender<Vec<Metric>>),
    /// This process's service is over.
    Closed(Option<Failure>),
}

/// The same for JavaScript: `kind` determines which of the other fields are set.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct EventFields {
    pub kind: &'static str,
    pub server: Option<u32>,
    pub fd: Option<i32>,
    pub id: Option<String>,
    pub slot: Option<u32>,
    pub pid: Option<u32>,
    pub is_master: Option<bool>,
    pub draining: Option<bool>,
    pub epoch: Option<f64>,
    pub ticket: Option<u32>,
    pub report: Option<Report>,
    pub taken: Option<bool>,
    pub failure: Option<Failure>,
    pub exit: Option<LastExit>,
}

/// What came of a command; times are in milliseconds.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct Report {
    pub generation: Option<f64>,
    pub took: Option<f64>,
    pub slots: Option<Vec<Replaced>>,
    pub canary: Option<Trial>,
    pub certificate_errors: Option<Vec<String>>,
    pub replaced: Option<Replaced>,
    pub from: Option<u32>,
    pub to: Option<u32>,
}

/// What a reload did in one slot.
#[napi(object, object_from_js = false)]
pub struct Replaced {
    pub slot: u32,
    pub old: Option<String>,
    #[napi(js_name = "new")]
    pub new_id: String,
    pub to_ready: f64,
    pub drain: f64,
    pub killed: bool,
    pub finished: Option<f64>,
    pub handed_off: Option<f64>,
    pub kept: Option<f64>,
    pub kept_closed: Option<f64>,
    pub aborted: f64,
    pub requests_failed: f64,
}

/// How the first new node has stood its trial.
#[napi(object, object_from_js = false)]
pub struct Trial {
    pub node: String,
    pub watched: f64,
    #[napi(js_name = "new")]
    pub of_new: Judged,
    pub old: Judged,
    pub by_answers: bool,
}

/// HTTP requests that were answered, and how many of them by a server error.
#[napi(object, object_from_js = false)]
pub struct Judged {
    pub requests: f64,
    pub errors: f64,
}

impl EventFields {
    pub(crate) fn of(kind: &'static str) -> EventFields {
        EventFields { kind, ..EventFields::default() }
    }
}

impl From<ReloadReport> for Report {
    fn from(report: ReloadReport) -> Report {
        Report {
            generation: report.generation.to_string().parse().ok(),
            took: Some(report.took.as_secs_f64() * 1000.0),
            slots: Some(report.slots.into_iter().map(Replaced::from).collect()),
            canary: report.canary.map(Trial::from),
            certificate_errors: Some(report.certificate_errors),
            ..Report::default()
        }
    }
}

impl From<Replacement> for Report {
    fn from(replaced: Replacement) -> Report {
        Report { replaced: Some(replaced.into()), ..Report::default() }
    }
}

impl From<Replacement> for Replaced {
    fn from(reload: Replacement) -> Replaced {
        Replaced {
            slot: number(reload.slot),
            old: reload.old.map(|id| id.to_string()),
            new_id: reload.new.to_string(),
            to_ready: reload.to_ready.as_secs_f64() * 1000.0,
            drain: reload.drain.as_secs_f64() * 1000.0,
            killed: reload.killed,
            finished: reload.finished.map(|count| count as f64),
            handed_off: reload.handed_off.map(|count| count as f64),
            kept: reload.kept.map(|count| count as f64),
            kept_closed: reload.kept_closed.map(|count| count as f64),
            // Its nodes count always; only a slot that had none says nothing.
            aborted: reload.aborted.unwrap_or(0) as f64,
            requests_failed: reload.requests_failed.unwrap_or(0) as f64,
        }
    }
}

impl From<CanaryReport> for Trial {
    fn from(report: CanaryReport) -> Trial {
        Trial {
            node: report.node.to_string(),
            watched: report.watched.as_secs_f64() * 1000.0,
            of_new: report.new.into(),
            old: report.old.into(),
            by_answers: report.by_answers,
        }
    }
}

impl From<RequestCounts> for Judged {
    fn from(answers: RequestCounts) -> Judged {
        Judged { requests: answers.requests as f64, errors: answers.errors as f64 }
    }
}

impl From<ScaleReport> for Report {
    fn from(report: ScaleReport) -> Report {
        let count = |nodes: usize| u32::try_from(nodes).ok();
        Report { from: count(report.from), to: count(report.to), ..Report::default() }
    }
}
