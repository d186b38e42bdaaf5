//! What became of requests that other nodes owned, and of connections of nodes that compute, as metrics.

use crate::metrics::Metric;
use crate::serve::{BusyHandoff, MoveCounts};

pub(crate) fn move_metrics(counts: MoveCounts) -> Vec<Metric> {
    let MoveCounts { moved, refused, full } = counts;
    let help = "Requests that another node owned: their connection moved, the owner refused it, or too many moves were under way.";
    let metric = |(result, count): (&str, u64)| {
        Metric::counter("multi_node_affinity_requests_total", count as f64).help(help).label("result", result)
    };
    [("moved", moved), ("refused", refused), ("full", full)].map(metric).to_vec()
}

pub(crate) fn busy_metrics(handoff: &BusyHandoff) -> Vec<Metric> {
    let help = "Kept connections that another node took, since a request waited on them and the node computed.";
    vec![Metric::counter("multi_node_busy_handoffs_total", handoff.taken() as f64).help(help)]
}
