//! A histogram of all nodes together, whose buckets may change with a reload.

use super::exposition::{Exposition, Number};
use super::series::BOUNDS;
use multi_node_fleet::id::NodeId;

/// It has the buckets of the newest node that has reported it.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    bounds: Vec<f64>,
    bounds_of: NodeId,
    /// Values in each bucket, the last being that above all bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { bounds: Vec::new(), bounds_of: NodeId::MASTER, counts: vec![0], sum: 0.0 }
    }
}

impl Histogram {
    /// Adds a node's new values in each of its buckets. There is one more bucket than there are bounds.
    pub(super) fn add(&mut self, node: NodeId, bounds: Option<Vec<f64>>, counts: &[u64], sum: f64) {
        let bounds = bounds.unwrap_or_else(|| BOUNDS.to_vec());
        if node >= self.bounds_of && bounds != self.bounds {
            self.counts = in_buckets(&self.counts, &self.bounds, &bounds);
            self.bounds.clone_from(&bounds);
        }
        self.bounds_of = self.bounds_of.max(node);
        let more = in_buckets(counts, &bounds, &self.bounds);
        self.counts.iter_mut().zip(more).for_each(|(count, more)| *count = count.saturating_add(more));
        self.sum += sum;
    }

    pub(super) fn write(&self, text: &mut Exposition, name: &str, labels: &[(&str, &str)]) {
        let mut count: u64 = 0;
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, more) in bounds.zip(&self.counts) {
            count = count.saturating_add(*more);
            text.sample(&format!("{name}_bucket"), &[labels, &[("le", &bound)]].concat(), count);
        }
        text.sample(&format!("{name}_sum"), labels, Number(self.sum));
        text.sample(&format!("{name}_count"), labels, count);
    }
}

/// Converts counts to other buckets: each count goes into the first bucket that holds all of its values. So the count of a
/// bound that stays does not change.
fn in_buckets(counts: &[u64], bounds: &[f64], others: &[f64]) -> Vec<u64> {
    let mut into = vec![0_u64; others.len() + 1];
    for (count, bound) in counts.iter().zip(bounds.iter().chain([&f64::INFINITY])) {
        let bucket = others.partition_point(|other| other < bound);
        into[bucket] = into[bucket].saturating_add(*count);
    }
    into
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_into_the_first_bucket_that_holds_them() {
        let counts = [1, 2, 4, 8];
        assert_eq!(in_buckets(&counts, &[0.1, 0.5, 1.0], &[0.1, 0.5, 1.0]), counts);
        assert_eq!(in_buckets(&counts, &[0.1, 0.5, 1.0], &[0.25, 1.0, 5.0]), [1, 6, 0, 8]);
        assert_eq!(in_buckets(&counts, &[0.1, 0.5, 1.0], &[]), [15]);
        assert_eq!(in_buckets(&[0], &[], &[1.0]), [0, 0]);
    }

    #[test]
    fn the_newest_node_has_its_buckets_and_older_ones_still_count() {
        let mut histogram = Histogram::default();
        histogram.add(NodeId::node(1), Some(vec![0.1, 1.0]), &[1, 2, 3], 4.0);
        histogram.add(NodeId::node(2), Some(vec![0.5, 1.0]), &[1, 1, 1], 2.0);
        assert_eq!((&histogram.bounds[..], &histogram.counts[..]), (&[0.5, 1.0][..], &[2, 3, 4][..]));
        histogram.add(NodeId::node(1), Some(vec![0.1, 1.0]), &[1, 1, 1], 2.0);
        assert_eq!((&histogram.bounds[..], &histogram.counts[..]), (&[0.5, 1.0][..], &[3, 4, 5][..]));
        let mut text = Exposition::default();
        histogram.write(&mut text, "seconds", &[("route", "/")]);
        let expected = "seconds_bucket{route=\"/\",le=\"0.5\"} 3\nseconds_bucket{route=\"/\",le=\"1\"} 7\n\
                        seconds_bucket{route=\"/\",le=\"+Inf\"} 12\nseconds_sum{route=\"/\"} 8\nseconds_count{route=\"/\"} 12\n";
        assert_eq!(text.into_text(), expected);
    }
}
