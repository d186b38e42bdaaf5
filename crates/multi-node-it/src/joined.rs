//! Routes of the fixture program that use what machines have in common.

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
    Router::new().route("/joined/{operation}/{id}/{ms}/{data}", get(operate))
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
