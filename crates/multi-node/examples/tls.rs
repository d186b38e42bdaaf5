//! HTTPS by several processes, with certificates from files that can be replaced at any time. With a self-made one:
//!
//! ```sh
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
//! cargo run --release --features tls --example tls
//! curl --cacert cert.pem https://localhost:8443/
//! ```
//!
//! `PORT`, `HOST` and `NODES` change where and by how many, `CERT` and `KEY` the files.

use std::env::var;

use axum::Router;
use axum::routing::get;
use multi_node::tls::Certificates;
use multi_node::{Handle, Options, http_with, listen};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), multi_node::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let app = |node: Handle| async move {
        let greeting = format!("hello from {} over TLS\n", node.id());
        Ok::<_, std::convert::Infallible>(Router::new().route("/", get(move || async { greeting })))
    };
    let file = |variable, default: &str| var(variable).unwrap_or_else(|_| default.to_owned());
    let certificates = Certificates::files(file("CERT", "cert.pem"), file("KEY", "key.pem"));
    let https = http_with(app).tls(certificates);
    let nodes = listen(Options::new().port(8443).nodes(4).with_env()?, https).await?;

    if nodes.is_master() {
        nodes.ready().await?;
        println!("serving on https://{}", nodes.local_addr());
    }
    nodes.closed().await
}
