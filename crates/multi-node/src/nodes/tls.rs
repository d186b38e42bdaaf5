//! What a process counts of the handshakes of its servers.

use std::sync::Arc;

use crate::metrics::Metric;
use crate::serve::Terminator;

/// The servers of a process that have TLS.
pub(crate) type Terminators = Vec<Option<Arc<Terminator>>>;

/// Handshakes by their outcome, those of all servers together; none where no server has TLS.
#[cfg(feature = "tls")]
pub(crate) fn tls_metrics(terminators: &Terminators) -> Vec<Metric> {
    use std::collections::BTreeMap;
    let (mut succeeded, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for terminator in terminators.iter().flatten().filter(|terminator| terminator.is_here()) {
        for (kind, count) in terminator.handshakes().successes() {
            *succeeded.entry(kind).or_insert(0) += count;
        }
        for (reason, count) in terminator.handshakes().failures() {
            *failed.entry(reason.as_str()).or_insert(0) += count;
        }
    }
    let metrics = |name: &'static str, help: &'static str, label: &'static str, counts: BTreeMap<&'static str, u64>| {
        let metric = move |(value, count)| Metric::counter(name, count as f64).help(help).label(label, value);
        counts.into_iter().map(metric)
    };
    let (all, bad) = ("multi_node_tls_handshakes_total", "multi_node_tls_failed_handshakes_total");
    let succeeded = metrics(all, "TLS handshakes that have succeeded.", "kind", succeeded);
    succeeded.chain(metrics(bad, "TLS handshakes that have failed.", "reason", failed)).collect()
}

/// No server has TLS.
#[cfg(not(feature = "tls"))]
pub(crate) fn tls_metrics(_: &Terminators) -> Vec<Metric> {
    Vec::new()
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use multi_node_tls::{Certificates, Failure};

    use super::*;

    #[test]
    fn servers_are_counted_together() {
        let terminator = || Some(Arc::new(Terminator::http(Certificates::files("cert.pem", "key.pem"))));
        let terminators = vec![terminator(), None, terminator()];
        for terminator in terminators.iter().flatten() {
            terminator.handshakes().failed(Failure::TimedOut);
            terminator.handshakes().succeeded(None);
        }
        let metrics = tls_metrics(&terminators);
        let full = Metric::counter("multi_node_tls_handshakes_total", 2.0).label("kind", "full");
        let late = Metric::counter("multi_node_tls_failed_handshakes_total", 2.0).label("reason", "timed_out");
        for (expected, help) in [(full, "succeeded"), (late, "failed")] {
            let expected = expected.help(&format!("TLS handshakes that have {help}."));
            assert!(metrics.contains(&expected), "{expected:?} is not in {metrics:?}");
        }
        assert_eq!(metrics.len(), 11, "each outcome once");
        assert_eq!(tls_metrics(&vec![None]), []);
    }
}
