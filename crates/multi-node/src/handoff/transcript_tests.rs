//! What this release says on a hand-off stream, as bytes; see the tests of the control socket.

use serde_json::json;

use super::message::HandoffMessage;
use crate::control::assert_understood;

#[test]
fn nodes_understand_what_others_have_said_since_the_first_release() {
    let tcp = json!({ "Tcp": "127.0.0.1:4711" });
    let info = json!({ "peer": tcp, "local": "Unix" });
    let versions = json!({ "lowest": 1, "highest": 1 });
    let samples = [
        (0, json!({ "hello": { "versions": versions, "capabilities": ["takes_offers"] } })),
        (0, json!({ "hello": { "versions": versions, "capabilities": ["takes_offers", "takes_offers_when_busy"] } })),
        (1, json!({ "offer": { "number": 9, "server": 1, "before": [71, 69, 84], "info": info, "socket": 0 } })),
        (
            1,
            json!({ "offer": { "number": 9, "server": 1, "before": [], "info": info, "socket": 0, "when_busy": true } }),
        ),
        (0, json!({ "taken": { "number": 9 } })),
        (0, json!({ "refused": { "number": 9 } })),
        (0, json!({ "refused": { "number": 9, "draining": true } })),
    ];
    assert_understood::<HandoffMessage>(include_str!("../../tests/transcripts/handoff.txt"), &samples);
}
