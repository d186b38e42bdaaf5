//! What a canary is judged by.

/// What the first new node of a reload has to keep to; see [`Options::canary`](crate::Options::canary).
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "limits do nothing until they are given to `Options::canary`"]
pub struct CanaryLimits {
    pub(crate) min_requests: u64,
    pub(crate) margin: f64,
}

impl Default for CanaryLimits {
    fn default() -> CanaryLimits {
        CanaryLimits::new()
    }
}

impl CanaryLimits {
    /// The defaults. Each method names its default.
    pub fn new() -> CanaryLimits {
        CanaryLimits { min_requests: 100, margin: 0.01 }
    }

    /// How many HTTP requests the node must have answered for its answers to be judged. Default 100, at least 1.
    pub fn min_requests(mut self, requests: u64) -> CanaryLimits {
        self.min_requests = requests;
        self
    }

    /// By how much its share of server errors may exceed that of the old nodes. 0 to 1, default 0.01: one percentage
    /// point.
    pub fn margin(mut self, share: f64) -> CanaryLimits {
        self.margin = share;
        self
    }
}
