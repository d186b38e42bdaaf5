//! Log-ins that hold at every node (worker process): axum, tower-sessions, and sessions that all processes share.
//!
//! `PORT=8080 cargo run --example sessions --features sessions,axum,tower-sessions-0-15`, then
//! `curl -c jar -b jar localhost:8080/login/Ada` and `curl -b jar localhost:8080`.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use multi_node::sessions::{SessionStore, Settings};
use multi_node::{Handle, Options, http_with, listen};
use tower_sessions_0_15::{Session, SessionManagerLayer, session};

type Answer = Result<String, Failed>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, http_with(app)).await?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("http://{}", nodes.local_addr());
    }
    Ok(nodes.closed().await?)
}

/// Each node opens the sessions: the master has no use for them.
async fn app(node: Handle) -> Result<Router, Box<dyn std::error::Error + Send + Sync>> {
    let store = SessionStore::new(node.sessions(Settings::default())?);
    let sessions = SessionManagerLayer::new(store).with_secure(false);
    let routes = Router::new().route("/", get(who)).route("/login/{name}", get(log_in)).route("/logout", get(log_out));
    Ok(routes.layer(sessions))
}

async fn who(session: Session) -> Answer {
    let name = session.get::<String>("name").await?;
    Ok(format!("{} {}", name.as_deref().unwrap_or("nobody"), std::process::id()))
}

async fn log_in(session: Session, Path(name): Path<String>) -> Answer {
    session.insert("name", &name).await?;
    Ok(format!("welcome, {name}"))
}

async fn log_out(session: Session) -> Answer {
    session.flush().await?;
    Ok("bye".to_owned())
}

/// The log has the cause, and the client a 500.
struct Failed(session::Error);

impl From<session::Error> for Failed {
    fn from(error: session::Error) -> Self {
        Failed(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        tracing::error!(error = %self.0, "no session");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
