//! Plain TCP, connection by connection: `cargo run --release --example tcp_echo`, then `nc 127.0.0.1 8080`.

use multi_node::{Conn, Options, listen, tcp};
use tokio::io::{AsyncWriteExt, copy, split};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), multi_node::Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let nodes = listen(Options::new().port(8080).nodes(4).with_env()?, tcp(echo)).await?;
    if nodes.is_master() {
        nodes.ready().await?;
        println!("echoing on {}", nodes.local_addr());
    }
    nodes.closed().await
}

/// Sends back what comes, until the client is done or this node drains.
async fn echo(connection: Conn) {
    let drain = connection.drain().clone();
    let node = connection.handle().id();
    let (mut reader, mut writer) = split(connection.stream);
    tokio::select! {
        // An error is the client's going away.
        _ = copy(&mut reader, &mut writer) => {}
        () = drain.draining() => {
            let _ = writer.write_all(format!("{node} is leaving\n").as_bytes()).await;
        }
    }
}
