//! Carries the nodes' metrics from the master's loop to the aggregator.

use tokio::sync::mpsc;

use crate::NodeId;
use crate::metrics::Series;

/// How many messages of nodes may wait to be taken in, which takes microseconds each.
const MAX_WAITING: usize = 256;

/// Takes what nodes tell of the program's own metrics, where the master serves them.
#[derive(Clone, Debug, Default)]
pub struct MetricsSink(Option<mpsc::Sender<(NodeId, Vec<Series>)>>);

impl MetricsSink {
    /// Both ends.
    pub fn channel() -> (MetricsSink, mpsc::Receiver<(NodeId, Vec<Series>)>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (MetricsSink(Some(sender)), receiver)
    }

    pub fn tell(&self, id: NodeId, series: Vec<Series>) {
        if let Some(sender) = &self.0
            && sender.try_send((id, series)).is_err()
        {
            crate::log::warn!(target: "multi_node", %id, "what the node has measured is lost: too much waits to be taken in");
        }
    }
}
