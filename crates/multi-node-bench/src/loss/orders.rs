//! Orders to the program under test: a Unix socket of its master, which takes one line and answers with one of JSON.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream as Blocking,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use multi_node::{Handle, OrderError, ReloadReport, Status};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader as Lines},
    net::{UnixListener, UnixStream},
};

/// Longer than any order takes.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// In the master: takes orders as long as the program runs.
pub(super) async fn take(path: PathBuf, node: Handle) -> Result<()> {
    // The file of a program image that this one has replaced.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(answer(connection, node.clone()));
    }
}

async fn answer(mut connection: UnixStream, node: Handle) -> Result<()> {
    let mut order = String::new();
    Lines::new(&mut connection).read_line(&mut order).await?;
    let answer = format!("{}\n", obey(&node, order.trim()).await);
    Ok(connection.write_all(answer.as_bytes()).await?)
}

async fn obey(node: &Handle, order: &str) -> Value {
    match order {
        "address" => json!(node.local_addr().to_string()),
        "ready" => json!(node.ready().await.map_err(|error| error.to_string())),
        "reload" => json!(node.reload().await),
        "status" => json!(node.status()),
        "upgrade" => {
            // After a success another program is here, and nobody answers.
            let Err(refusal) = node.upgrade().await;
            json!(Result::<(), OrderError>::Err(refusal))
        }
        _ => json!({ "unknown": order }),
    }
}

/// Gives an order and reads the answer.
pub(super) fn give<T: DeserializeOwned>(path: &Path, order: &str) -> Result<T> {
    let answer = ask(path, order)?;
    serde_json::from_str(&answer).with_context(|| format!("the master answered {answer:?} to {order}"))
}

/// Orders an upgrade: the new program's coming is the end of the conversation.
fn upgrade(path: &Path) -> Result<Result<(), OrderError>> {
    let answer = ask(path, "upgrade")?;
    if answer.is_empty() { Ok(Ok(())) } else { Ok(serde_json::from_str(&answer)?) }
}

fn ask(path: &Path, order: &str) -> Result<String> {
    let mut socket = Blocking::connect(path).with_context(|| format!("no master at {}", path.display()))?;
    socket.set_read_timeout(Some(ANSWERED_WITHIN))?;
    writeln!(socket, "{order}")?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer)?;
    Ok(answer)
}

/// What the program under test is told from a terminal.
#[derive(Debug, clap::Args)]
pub(crate) struct Order {
    /// The socket on which the master takes orders.
    socket: PathBuf,
    /// `reload`, `upgrade` or `status`.
    order: String,
}

/// Gives the order and prints what came of it, as a deploy script would; an order that failed is an error.
pub(crate) fn run(order: &Order) -> Result<()> {
    match order.order.as_str() {
        "reload" => match give::<Result<ReloadReport, OrderError>>(&order.socket, "reload")? {
            Ok(report) => println!("reload done: {report}"),
            Err(error) => bail!("reload failed: {error}"),
        },
        "upgrade" => match upgrade(&order.socket)? {
            Ok(()) => println!("upgrade done"),
            Err(error) => bail!("upgrade failed: {error}"),
        },
        "status" => println!("{}", serde_json::to_string_pretty(&give::<Status>(&order.socket, "status")?)?),
        other => bail!("{other:?} is no order"),
    }
    Ok(())
}
