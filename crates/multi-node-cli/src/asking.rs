//! Commands that have one answer: connect, ask, print.

use std::time::Duration;

use anyhow::{Result, anyhow};
use multi_node::admin::{Client, ClientError, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::output;
use crate::target::Target;

/// How long an answer may take that needs no work.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Asks, and prints what is answered: as JSON, or as `text` has it for people.
pub(crate) async fn ask<T: Serialize + DeserializeOwned>(
    target: &Target,
    request: &Request,
    json: bool,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    let mut client = target.connect().await?;
    let answer = if is_quick(request) { quick(&mut client, request).await } else { Ok(client.ask(request).await?) };
    if answer.is_ok() && matches!(request, Request::Stop { .. }) {
        ended(&mut client).await;
    }
    match answer {
        Ok(answer) if json => output::json(&answer),
        Ok(answer) => output::text(&text(&answer)),
        Err(error) => Err(error),
    }
}

/// Asks what is answered without work, and so within a short time.
pub(crate) async fn quick<T: DeserializeOwned>(client: &mut Client, request: &Request) -> Result<T> {
    match tokio::time::timeout(AT_ONCE, client.ask(request)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(anyhow!("the program has not answered within {} s; is its master stopped?", AT_ONCE.as_secs())),
    }
}

/// Waits until a stopped program has removed its control socket, so that its name is free and no later command finds it.
async fn ended(client: &mut Client) {
    let end = async { while let Ok(Some(_)) = client.next::<Value>().await {} };
    // A program that hangs at its very end has stopped all the same.
    let _ = tokio::time::timeout(AT_ONCE, end).await;
}

/// A refusal or failure as the protocol has it, for those who read JSON.
pub(crate) fn print_refusal(error: &anyhow::Error) -> Result<()> {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(refusal)) => output::json(&serde_json::json!({ "refused": refusal })),
        Some(ClientError::Failed(refusal)) => output::json(&serde_json::json!({ "failed": refusal })),
        _ => Ok(()),
    }
}

fn is_quick(request: &Request) -> bool {
    matches!(
        request,
        Request::Describe
            | Request::Status
            | Request::Signal { .. }
            | Request::Logs { .. }
            | Request::Reload { wait: false, .. }
    )
}
