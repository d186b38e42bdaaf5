//! Requests that are commands to the nodes. Clients of the control socket and JavaScript get the same reports and errors.

use serde_json::Value;

use super::protocol::{Refusal, Request, bad_request};
use crate::Handle;
use crate::command::{CommandError, Report};

/// Why a command has no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The request is wrong.
    #[error("{0}")]
    Request(Refusal),
    /// The command was refused, or has failed.
    #[error("{0}")]
    Command(#[from] CommandError),
}

/// Gives the command, and returns its report as JSON.
///
/// # Errors
/// [`NotDone::Request`] also for a request that is no command.
pub async fn carry_out(handle: &Handle, request: &Request) -> Result<Value, NotDone> {
    let command = request.command(handle.status().wanted).map_err(NotDone::Request)?;
    let command = command.ok_or_else(|| NotDone::Request(bad_request("this is no command to the nodes")))?;
    Ok(content(&handle.command(command).await?))
}

/// What the report says, without the name of its command.
fn content(report: &Report) -> Value {
    match serde_json::to_value(report) {
        Ok(Value::Object(named)) => named.into_iter().next().map_or(Value::Null, |(_, content)| content),
        // A report without fields is its name.
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::command::ScaleReport;

    #[test]
    fn a_report_stands_without_its_name() {
        let scaled: ScaleReport = serde_json::from_value(json!({ "from": 2, "to": 4 })).expect("a report");
        assert_eq!(content(&Report::Scale(scaled)), json!({ "from": 2, "to": 4 }));
        assert_eq!(content(&Report::Signal { nodes: 3 }), json!({ "nodes": 3 }));
        assert_eq!(content(&Report::Shutdown), Value::Null);
    }
}
