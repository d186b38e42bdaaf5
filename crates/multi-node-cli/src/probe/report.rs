//! What a run has found: the same value as JSON and as a table. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use multi_node_probe::{Counts, Failure, How, Kind, Lost, Plan, Tally};
use serde::Serialize;

use super::Job;
use super::command::Ended;
use crate::exit::Probed;

/// Lost requests that are shown one by one.
const MOST_SHOWN: usize = 20;

/// The whole of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) took_ms: u64,
    /// Whether Ctrl-C has ended it early.
    pub(crate) interrupted: bool,
    pub(crate) command: Option<Ended>,
    pub(crate) total: Counted,
    /// The longest time from a request that was lost to the next answer of any client.
    pub(crate) outage_ms: u64,
    pub(crate) phases: Vec<Phase>,
    pub(crate) clients: Vec<OfKind>,
    pub(crate) left_out: Vec<LeftOut>,
    /// The first that were lost, one by one.
    pub(crate) losses: Vec<Loss>,
    pub(crate) max_lost: u64,
}

/// What some clients met.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counted {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    pub(crate) lost_by: BTreeMap<How, u64>,
    /// Kept connections that the server closed while nothing was under way.
    pub(crate) closed_idle: u64,
    /// Kept connections whose end the server announced with an answer.
    pub(crate) closed_announced: u64,
    /// From a request to its whole answer, connecting included; of WebSockets only where there are no others.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// The longest wait for an answer, whether or not one came in the end.
    pub(crate) worst_ms: f64,
}

/// What all clients met in one phase.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) phase: String,
    pub(crate) took_ms: u64,
    #[serde(flatten)]
    pub(crate) counted: Counted,
}

/// What clients of one kind met.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OfKind {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    #[serde(flatten)]
    pub(crate) counted: Counted,
}

/// Clients that the server does not answer even while nothing is done to it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) failure: Failure,
}

/// A lost request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Loss {
    /// From the run's begin.
    pub(crate) at_ms: u64,
    pub(crate) phase: String,
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) failure: Failure,
}

/// What a run leaves for its report.
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    /// Each phase, and when it began.
    pub(crate) phases: Vec<(&'static str, Instant)>,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) command: Option<Ended>,
    /// Whether it has lasted as long as it was to.
    pub(crate) is_whole: bool,
}

impl Report {
    pub(crate) fn new(job: &Job, plan: &Plan, left_out: Vec<LeftOut>, measured: &Measured) -> Report {
        let Measured { tally, begun, ended, command, is_whole, .. } = measured;
        let of_kind = |clients: &multi_node_probe::Clients| OfKind {
            kind: clients.kind,
            connections: clients.count,
            counted: Counted::of(tally, |_, kind| kind == clients.kind),
        };
        let lost = tally.lost();
        Report {
            url: job.url.to_string(),
            address: plan.target.address,
            took_ms: millis(*ended - *begun),
            interrupted: !is_whole,
            command: command.clone(),
            total: Counted::of(tally, |_, _| true),
            outage_ms: millis(tally.longest_outage(*ended)),
            phases: phases(measured),
            clients: plan.clients.iter().map(of_kind).collect(),
            left_out,
            losses: lost.iter().take(MOST_SHOWN).map(|lost| Loss::new(lost, *begun)).collect(),
            max_lost: job.max_lost,
        }
    }

    /// Whether what was found is what was allowed.
    ///
    /// # Errors
    /// What was not.
    pub(crate) fn judge(&self) -> Result<(), Probed> {
        let failed = self.command.as_ref().filter(|command| !command.is_success()).map(Ended::told);
        match self.total.lost {
            lost if lost > self.max_lost => Err(Probed::Lost { lost, allowed: self.max_lost, command: failed }),
            _ if self.interrupted => Err(Probed::Interrupted),
            _ => failed.map_or(Ok(()), |told| Err(Probed::Command(told))),
        }
    }
}

impl Counted {
    fn of(tally: &Tally, wanted: impl Fn(&'static str, Kind) -> bool) -> Counted {
        let counts = tally.sum(&wanted);
        let http = tally.sum(|phase, kind| kind != Kind::WebSocket && wanted(phase, kind));
        let timed = if http.answered > 0 { &http } else { &counts };
        let lost_by = How::ALL.map(|how| (how, counts.lost.get(&how).copied().unwrap_or_default()));
        Counted {
            answered: counts.answered,
            lost: counts.all_lost(),
            lost_by: lost_by.into(),
            closed_idle: counts.closed_idle,
            closed_announced: counts.announced,
            p50_ms: percentile(timed, 50.0),
            p99_ms: percentile(timed, 99.0),
            worst_ms: rounded(counts.worst.as_secs_f64() * 1e3),
        }
    }
}

impl Loss {
    fn new(lost: &Lost, begun: Instant) -> Loss {
        let at_ms = millis(lost.at.saturating_duration_since(begun));
        Loss { at_ms, phase: lost.phase.to_owned(), kind: lost.kind, failure: lost.failure.clone() }
    }
}

fn phases(Measured { tally, phases, ended, .. }: &Measured) -> Vec<Phase> {
    let ends = phases.iter().skip(1).map(|(_, begun)| *begun).chain([*ended]);
    let phase = |(&(phase, begun), end): (&(&'static str, Instant), Instant)| Phase {
        phase: phase.to_owned(),
        took_ms: millis(end - begun),
        counted: Counted::of(tally, |of, _| of == phase),
    };
    phases.iter().zip(ends).map(phase).collect()
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn percentile(counts: &Counts, percent: f64) -> f64 {
    rounded(counts.percentile(percent))
}

/// To hundredths.
fn rounded(ms: f64) -> f64 {
    (ms * 100.0).round() / 100.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::command::How as End;
    use super::*;

    fn counted(answered: u64, lost: &[(How, u64)], closed: u64, [p50_ms, p99_ms, worst_ms]: [f64; 3]) -> Counted {
        let mut lost_by: BTreeMap<How, u64> = How::ALL.map(|how| (how, 0)).into();
        lost_by.extend(lost.iter().copied());
        let lost = lost_by.values().sum();
        Counted { answered, lost, lost_by, closed_idle: closed, closed_announced: 0, p50_ms, p99_ms, worst_ms }
    }

    /// A deploy that has cost two requests.
    pub(crate) fn example() -> Report {
        let both = [(How::Refused, 1), (How::Reset, 1)];
        let phase = |phase: &str, took_ms, counted| Phase { phase: phase.to_owned(), took_ms, counted };
        let kind = |kind, connections, counted| OfKind { kind, connections, counted };
        let loss = |at_ms, kind, how, detail: &str| Loss {
            at_ms,
            phase: "during".to_owned(),
            kind,
            failure: Failure::new(how, detail),
        };
        let line = "pm2 reload web".to_owned();
        Report {
            url: "http://127.0.0.1:3000/".to_owned(),
            address: "127.0.0.1:3000".parse().expect("an address"),
            took_ms: 3500,
            interrupted: false,
            command: Some(Ended { line, how: End::Exited { exit_code: 1 }, took_ms: 1500 }),
            total: counted(175, &both, 4, [0.5, 20.0, 1002.0]),
            outage_ms: 120,
            phases: vec![
                phase("before", 2000, counted(100, &[], 0, [0.5, 1.5, 3.0])),
                phase("during", 1500, counted(75, &both, 4, [0.6, 22.0, 1002.0])),
            ],
            clients: vec![
                kind(Kind::New, 3, counted(75, &both[..1], 0, [0.5, 1.5, 1002.0])),
                kind(Kind::Kept, 7, counted(100, &both[1..], 4, [0.5, 20.0, 22.0])),
            ],
            left_out: vec![LeftOut {
                kind: Kind::HalfClosing,
                failure: Failure::new(How::Closed, "the connection ended after 0 bytes of the answer"),
            }],
            losses: vec![
                loss(2300, Kind::New, How::Refused, "connection refused"),
                loss(2400, Kind::Kept, How::Reset, "connection reset by peer, after 0 bytes of the answer"),
            ],
            max_lost: 0,
        }
    }

    #[test]
    fn more_lost_requests_than_allowed_count_before_all_else() {
        let told = |report: &Report| report.judge().map_err(|error| error.to_string());
        let mut report = example();
        let both = "2 requests were lost, and 0 are allowed; the command exited with code 1";
        assert_eq!(told(&report), Err(both.to_owned()));
        report.interrupted = true;
        assert_eq!(told(&report), Err(both.to_owned()));
        report.max_lost = 2;
        assert_eq!(told(&report), Err("interrupted".to_owned()));
        report.interrupted = false;
        assert_eq!(
            told(&report),
            Err("no more requests were lost than allowed, but the command exited with code 1".to_owned())
        );
        report.command = None;
        assert_eq!(told(&report), Ok(()));
    }

    #[test]
    fn the_report_as_json() {
        let value = serde_json::to_value(example()).expect("JSON");
        assert_eq!(value["total"]["lost"], 2);
        assert_eq!(value["total"]["lost_by"]["timed_out"], 0);
        assert_eq!(value["phases"][1]["lost_by"]["refused"], 1);
        assert_eq!((&value["clients"][0]["kind"], &value["clients"][1]["closed_idle"]), (&"new".into(), &4.into()));
        assert_eq!((&value["command"]["ended"], &value["command"]["exit_code"]), (&"exited".into(), &1.into()));
        assert_eq!(
            (&value["left_out"][0]["kind"], &value["left_out"][0]["how"]),
            (&"half-closing".into(), &"closed".into())
        );
        assert_eq!(value["losses"][0]["detail"], "connection refused");
    }
}
