//! Questions of a process to its gateway, which alone is connected to NATS.

use std::time::Duration;

use multi_node_bus::{Bus, Payload, RequestError};
use tokio::time::{Instant, sleep};

use crate::id::NodeId;

/// The pause before a question is repeated that was not sent, since the gateway is replaced.
const PAUSE: Duration = Duration::from_millis(50);

/// The answer to this question, or why there is none within this time. It may have been acted on nevertheless.
pub(crate) async fn ask_gateway<T>(
    bus: &Bus,
    (name, question): (&str, Vec<u8>),
    within: Duration,
    decode: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, String> {
    let (payload, deadline) = (Payload::bytes(question), Instant::now() + within);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match bus.request(name, payload.clone()).to(NodeId::GATEWAY).timeout(left).await {
            Ok(answer) => return decode(&answer.bytes).ok_or_else(|| "the gateway is of another version".to_owned()),
            // Nothing was sent.
            Err(RequestError::NoSuchNode(_) | RequestError::NoHandler { .. }) if left > PAUSE => sleep(PAUSE).await,
            Err(error) => return Err(cause(error)),
        }
    }
}

fn cause(error: RequestError) -> String {
    match error {
        RequestError::Failed(cause) => cause,
        RequestError::NoSuchNode(_) | RequestError::NoHandler { .. } => {
            "this process has no gateway; set `Options::join`".to_owned()
        }
        other => other.to_string(),
    }
}
