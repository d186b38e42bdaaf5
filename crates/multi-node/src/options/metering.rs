//! Options for the program's own metrics, and for their export.

use std::future::Future;

use super::{Options, settings};
use crate::Error;
use crate::metrics::{GaugeAggregation, MOST_BOUNDS, Meter, Metric, are_bounds};

/// What a program says of its own metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metering {
    pub(crate) gauges: Vec<(String, GaugeAggregation)>,
    /// The bounds of histograms that the facade measures.
    pub(crate) buckets: Vec<(String, Vec<f64>)>,
    pub(crate) meter: Option<Meter>,
}

impl Options {
    /// Has the master serve an address for monitoring: `/metrics` in Prometheus' text format, `/healthz`, `/readyz` and
    /// `/status`. As in [`bind`](Options::bind): `127.0.0.1:9100`, `[::1]:9100`, `unix:/run/metrics.sock`. Default: none.
    ///
    /// Anyone who reaches the address may read it: bind it where only monitoring can connect. It is served until the last
    /// node has ended, so `/readyz` shows load balancers a shutdown before the nodes stop accepting.
    pub fn metrics(mut self, address: impl Into<String>) -> Options {
        self.metrics = Some(address.into());
        self
    }

    /// How one value is made of all nodes' values of a gauge that the program measures, for [`metrics`](Options::metrics).
    /// May be called several times. Default for each gauge: [`GaugeAggregation::Sum`].
    pub fn aggregate_gauge(mut self, name: impl Into<String>, rule: GaugeAggregation) -> Options {
        self.metering.gauges.push((name.into(), rule));
        self
    }

    /// The upper bounds of the buckets of a histogram that the program measures by the `metrics` facade: finite, ascending, and
    /// at most 100. May be called several times. Default for each: 0.005 to 10, as Prometheus' clients have them for seconds.
    pub fn buckets(mut self, name: impl Into<String>, bounds: impl IntoIterator<Item = f64>) -> Options {
        self.metering.buckets.push((name.into(), bounds.into_iter().collect()));
        self
    }

    /// A source for metrics that the program measures without the `metrics` facade, such as its own registry.
    ///
    /// `read` is called in each node while its master serves [`metrics`](Options::metrics): once a second, one call after the
    /// other, and at the end of the drain. It returns all series with their current values. The master exports them
    /// aggregated over all nodes. A call that takes more than a second is dropped, and the next call makes up for it.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use multi_node::Options;
    /// use multi_node::options::Metric;
    ///
    /// static SENT: AtomicU64 = AtomicU64::new(0);
    /// let options = Options::new().metrics("127.0.0.1:9100").metrics_source(|| async {
    ///     vec![Metric::counter("bytes_sent_total", SENT.load(Ordering::Relaxed) as f64)]
    /// });
    /// ```
    pub fn metrics_source<F>(mut self, read: impl Fn() -> F + Send + Sync + 'static) -> Options
    where
        F: Future<Output = Vec<Metric>> + Send + 'static,
    {
        self.metering.meter = Some(Meter::new(read));
        self
    }
}

impl Metering {
    pub(super) fn check(self) -> Result<Metering, Error> {
        match self.buckets.iter().find(|(_, bounds)| !are_bounds(bounds)) {
            Some((name, bounds)) => Err(settings::refused(
                "buckets",
                format!("{bounds:?} of {name}"),
                format!("expected at most {MOST_BOUNDS} finite bounds, each above the one before"),
            )),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend() {
        let check = |bounds: &[f64]| Options::new().buckets("bytes", bounds.iter().copied()).check(1);
        assert_eq!(check(&[1.0, 2.0]).expect("valid").metering.buckets, [("bytes".to_owned(), vec![1.0, 2.0])]);
        let error = check(&[2.0, 1.0]).expect_err("they descend").to_string();
        assert!(error.contains("[2.0, 1.0] of bytes"), "{error}");
    }
}
