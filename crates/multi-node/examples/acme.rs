//! HTTPS by several processes, one of which has an ACME client renew the certificate, here certbot:
//!
//! ```sh
//! ACME='certbot certonly --non-interactive --keep-until-expiring --webroot --webroot-path webroot --domain example.org' \
//!     CERT=/etc/letsencrypt/live/example.org/fullchain.pem KEY=/etc/letsencrypt/live/example.org/privkey.pem \
//!     cargo run --release --features tls --example acme
//! ```
//!
//! The program needs a certificate at its start: `certbot certonly --standalone --domain example.org` gets the first. `HTTP` (`0.0.0.0:80`)
//! and `WEBROOT` are where challenges are answered. `PORT` (443), `HOST` and `NODES` change where HTTPS is served, and by how many.

use std::env::var;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use multi_node::lease::Lease;
use multi_node::tls::Certificates;
use multi_node::{Options, http, listen};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How often the client runs. It does nothing until the certificate is due.
const PAUSE: Duration = Duration::from_secs(12 * 60 * 60);

/// How long it may take. A drain waits for it too.
const LONGEST: Duration = Duration::from_secs(10 * 60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let set = |variable, default: &str| var(variable).unwrap_or_else(|_| default.to_owned());
    let certificates = Certificates::files(set("CERT", "cert.pem"), set("KEY", "key.pem"));
    let site = Router::new().route("/", get(async || "hello over TLS\n"));
    let folder = PathBuf::from(set("WEBROOT", "webroot")).join(".well-known/acme-challenge");
    let servers = http(site).tls(certificates).and(set("HTTP", "0.0.0.0:80"), http(challenges(folder)));
    let nodes = listen(Options::new().port(443).nodes(4).with_env()?, servers).await?;

    let client = set("ACME", "certbot renew --non-interactive");
    nodes.leader("acme", move |lease| renew(lease, client.clone()))?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("serving on https://{}", nodes.local_addr());
    }
    Ok(nodes.closed().await?)
}

/// The authority may reach any node, so all answer. The client puts the answers into the folder.
fn challenges(folder: PathBuf) -> Router {
    Router::new().route("/.well-known/acme-challenge/{token}", get(challenge)).with_state(folder)
}

async fn challenge(State(folder): State<PathBuf>, Path(token): Path<String>) -> Result<String, StatusCode> {
    // A token has no other characters (RFC 8555, section 8.3), and so leads out of no folder.
    let is_token = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let answer = if is_token { tokio::fs::read_to_string(folder.join(token)).await.ok() } else { None };
    answer.ok_or(StatusCode::NOT_FOUND)
}

/// Runs the client now and then. The master watches the files.
async fn renew(lease: Lease, client: String) {
    let mut words = client.split_whitespace();
    let Some(program) = words.next() else { return };
    let arguments: Vec<_> = words.collect();
    while !lease.is_lost() {
        let mut command = Command::new(program);
        match timeout(LONGEST, command.args(&arguments).kill_on_drop(true).status()).await {
            Ok(Ok(status)) if status.success() => {}
            failed => tracing::error!("`{client}` has failed: {failed:?}"),
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = lease.lost() => {}
        }
    }
}
