//! Users of axum-login, logged in at every node (worker process): their sessions are shared by all nodes, with no other server.
//!
//! `PORT=8080 cargo run --example login --features axum,tower-sessions-0-14`, then
//! `curl -c jar -b jar localhost:8080/login/Ada` and `curl -b jar localhost:8080`.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum_login::tower_sessions::SessionManagerLayer;
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend};
use multi_node::sessions::{SessionStore, Settings};
use multi_node::{Handle, Options, http_with, listen};

type Auth = AuthSession<Users>;

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
    let users = AuthManagerLayerBuilder::new(Users, sessions).build();
    let routes = Router::new().route("/", get(who)).route("/login/{name}", get(log_in)).route("/logout", get(log_out));
    Ok(routes.layer(users))
}

async fn who(auth: Auth) -> String {
    let name = auth.user.map_or("nobody".to_owned(), |user| user.0);
    format!("{name} {}", std::process::id())
}

async fn log_in(mut auth: Auth, Path(name): Path<String>) -> Result<String, StatusCode> {
    let user = auth.authenticate(name).await.map_err(|error| failed(&error))?.ok_or(StatusCode::UNAUTHORIZED)?;
    auth.login(&user).await.map_err(|error| failed(&error))?;
    Ok(format!("welcome, {}", user.0))
}

async fn log_out(mut auth: Auth) -> Result<&'static str, StatusCode> {
    auth.logout().await.map_err(|error| failed(&error))?;
    Ok("bye")
}

/// The log has the cause, and the client a 500.
fn failed(error: &axum_login::Error<Users>) -> StatusCode {
    tracing::error!(%error, "nobody was logged in or out");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// Everybody is a user, and needs no password: yours come from a database.
#[derive(Clone)]
struct Users;

#[derive(Clone, Debug)]
struct User(String);

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.0.clone()
    }

    /// A hash of the password: when that changes, all sessions of the user end.
    fn session_auth_hash(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = String;
    type Error = Infallible;

    async fn authenticate(&self, name: String) -> Result<Option<User>, Infallible> {
        Ok(Some(User(name)))
    }

    async fn get_user(&self, name: &String) -> Result<Option<User>, Infallible> {
        Ok(Some(User(name.clone())))
    }
}
