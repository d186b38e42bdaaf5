//! The bounds of the bus, as options say and as a gateway hears of them.

use multi_node_bus::BusLimits;
use serde::{Deserialize, Serialize};

use crate::options::Settings;

/// The bounds of the bus, as the options say.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct BusBounds {
    max_message: usize,
    max_peer_backlog: usize,
    max_subscription_backlog: usize,
    max_requests_in_flight: usize,
}

impl From<&Settings> for BusBounds {
    fn from(settings: &Settings) -> BusBounds {
        BusBounds {
            max_message: settings.max_message,
            max_peer_backlog: settings.max_peer_backlog,
            max_subscription_backlog: settings.max_subscription_backlog,
            max_requests_in_flight: settings.max_requests_in_flight,
        }
    }
}

impl From<BusBounds> for BusLimits {
    fn from(bounds: BusBounds) -> BusLimits {
        BusLimits {
            message_bytes: bounds.max_message,
            peer_bytes: bounds.max_peer_backlog,
            subscriber_messages: bounds.max_subscription_backlog,
            requests_sent: bounds.max_requests_in_flight,
            requests_handled: bounds.max_requests_in_flight,
            ..BusLimits::default()
        }
    }
}
