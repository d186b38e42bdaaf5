//! Routes of the fixture program that use what machines have in common.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use multi_node::Handle;
use multi_node::sessions::{Creation, JoinedSessions, SessionError, Settings, unix_millis};
use serde_json::{Value, json};

/// `/joined/OPERATION/ID/MS/DATA` does that with the session of this id, which expires in that many milliseconds.
pub fn routes(node: &Handle) -> Router {
    let sessions = node.joined_sessions(Settings::default());
    let operate = move |Path((operation, id, ms, data)): Path<(String, String, i64, String)>| async move {
        let expires = unix_millis() + ms;
        let done = operate(&sessions, &operation, id.as_bytes(), expires, data.into_bytes()).await;
        Json(done.unwrap_or_else(|error| json!({ "error": error.to_string() })))
    };
    leading(node).route("/joined/{operation}/{id}/{ms}/{data}", get(operate))
}

/// The terms of a process: its tokens, and which of them are over.
type HeldTerms = Arc<Mutex<Vec<(u64, bool)>>>;

/// `/joined/lead` takes part in a lease from now on, and `/joined/terms` shows the terms of this process.
fn leading(node: &Handle) -> Router {
    let terms = HeldTerms::default();
    let (node, noted) = (node.clone(), terms.clone());
    let lead = move || async move {
        let taken = node.joined_leader("job", move |lease| {
            let noted = noted.clone();
            let at = {
                let mut terms = noted.lock().unwrap_or_else(PoisonError::into_inner);
                terms.push((lease.fencing_token().unwrap_or(0), false));
                terms.len() - 1
            };
            async move {
                lease.lost().await;
                noted.lock().unwrap_or_else(PoisonError::into_inner)[at].1 = true;
            }
        });
        Json(json!(taken.is_ok()))
    };
    let show = move || async move { Json(json!(*terms.lock().unwrap_or_else(PoisonError::into_inner))) };
    Router::new().route("/joined/lead", get(lead)).route("/joined/terms", get(show))
}

async fn operate(
    sessions: &JoinedSessions,
    operation: &str,
    id: &[u8],
    expires: i64,
    data: Vec<u8>,
) -> Result<Value, SessionError> {
    Ok(match operation {
        "create" => json!(sessions.create(id, expires, data).await? == Creation::Created),
        "save" => json!(sessions.save(id, expires, data).await?),
        "touch" => json!(sessions.touch(id, expires).await?),
        "delete" => json!(sessions.delete(id).await?),
        _ => json!(sessions.load(id).await?.map(|session| String::from_utf8_lossy(&session.data).into_owned())),
    })
}
