//! Commands that have one answer: connect, ask, print.

use std::time::Duration;

use anyhow::{Result, anyhow};
use multi_node::admin::{Client, ClientError, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::target::{Target, Targets};
use crate::{exit, output};

/// How long an answer may take that needs no work.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Asks, and prints what is answered: as JSON, or as `text` has it for people.
pub(crate) async fn ask<T: Serialize + DeserializeOwned>(
    target: &Target,
    request: &Request,
    json: bool,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    print(answer(target, request).await, json, text)
}

/// Prints an answer, and as JSON a refusal too.
pub(crate) fn print<T: Serialize>(answer: Result<T>, json: bool, text: impl FnOnce(&T) -> String) -> Result<()> {
    match answer {
        Ok(answer) if json => output::json(&answer),
        Ok(answer) => output::text(&text(&answer)),
        Err(error) => {
            if json && let Some(refusal) = refusal(&error) {
                output::json(&refusal)?;
            }
            Err(error)
        }
    }
}

/// Asks each program that is meant, one after the other, also where one of them refuses or fails.
pub(crate) async fn ask_each<T: Serialize + DeserializeOwned>(
    targets: &Targets,
    request: &Request,
    json: bool,
    text: impl Fn(&T) -> String,
) -> Result<()> {
    ask_each_and_judge(targets, request, json, text, |_| Ok(())).await
}

/// The same, where an answer that was printed may still be a failure.
pub(crate) async fn ask_each_and_judge<T: Serialize + DeserializeOwned>(
    targets: &Targets,
    request: &Request,
    json: bool,
    text: impl Fn(&T) -> String,
    judge: impl Fn(&T) -> Result<()>,
) -> Result<()> {
    if let Some(target) = targets.one() {
        let answer = answer(&target, request).await;
        let judged = answer.as_ref().map_or(Ok(()), judge);
        return print(answer, json, text).and(judged);
    }
    let mut failed: Option<anyhow::Error> = None;
    for (name, target) in targets.each().await? {
        let answer = answer(&target, request).await;
        match &answer {
            _ if json => output::json(&labelled(&name, &answer)?)?,
            Ok(answer) => output::text(&headed(&name, &text(answer)))?,
            Err(_) => {}
        }
        if let Err(error) = answer.and_then(|answer| judge(&answer))
            && let Some(before) = failed.replace(error.context(name))
        {
            eprintln!("multi-node: {}", exit::message(&before));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// A program's answer under its name.
fn labelled<T: Serialize>(name: &str, answer: &Result<T>) -> Result<Value> {
    let mut labelled = match answer {
        Ok(answer) => json!({ "answer": serde_json::to_value(answer)? }),
        Err(error) => refusal(error).unwrap_or_else(|| json!({ "error": exit::message(error) })),
    };
    labelled["name"] = name.into();
    Ok(labelled)
}

/// An answer that begins with the program's name, as a status does, needs none in front.
fn headed(name: &str, text: &str) -> String {
    if text.starts_with(name) { text.to_owned() } else { format!("{name}: {text}") }
}

async fn answer<T: DeserializeOwned>(target: &Target, request: &Request) -> Result<T> {
    let mut client = target.connect().await?;
    let answer = if is_quick(request) { quick(&mut client, request).await } else { Ok(client.ask(request).await?) };
    if answer.is_ok() && matches!(request, Request::Stop { .. }) {
        ended(&mut client).await;
    }
    answer
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
fn refusal(error: &anyhow::Error) -> Option<Value> {
    match error.downcast_ref::<ClientError>()? {
        ClientError::Refused(refusal) => Some(json!({ "refused": refusal })),
        ClientError::Failed(refusal) => Some(json!({ "failed": refusal })),
        _ => None,
    }
}

fn is_quick(request: &Request) -> bool {
    matches!(
        request,
        Request::Describe
            | Request::Status
            | Request::Machines
            | Request::Signal { .. }
            | Request::Logs { .. }
            | Request::Reload { wait: false, .. }
    )
}
