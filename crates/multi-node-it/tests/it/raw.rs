//! Servers that take bytes, or accept connections themselves, as the examples show them.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use multi_node_it::program::send;
use multi_node_it::{Client, Example, procfs, within};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const ANYWHERE: [(&str, &str); 3] = [("HOST", "127.0.0.1"), ("PORT", "0"), ("NODES", "3")];

#[tokio::test]
async fn hello_goes_by_the_environment() -> anyhow::Result<()> {
    let hello = Example::start("hello", &ANYWHERE).await?;
    within(30, async {
        ensure!(hello.addr.ip().is_loopback() && hello.addr.port() != 0, "{}", hello.said);
        ensure!(procfs::children(hello.pid()).len() == 3, "not as many nodes as `NODES` says");
        ensure!(multi_node_it::get(hello.addr, "/").await?.body.starts_with("hello from node-"));
        hello.stop().await
    })
    .await
}

#[tokio::test]
async fn a_wrong_variable_is_named() {
    let wrong = [("HOST", "127.0.0.1"), ("PORT", "http"), ("NODES", "3")];
    let error = Example::start("hello", &wrong).await.err().expect("no number").to_string();
    assert!(error.contains("PORT") && error.contains("http"), "{error}");
}

#[tokio::test]
async fn tcp_echo_echoes_until_it_drains() -> anyhow::Result<()> {
    let echo = Example::start("tcp_echo", &ANYWHERE).await?;
    within(30, async {
        let mut clients = Vec::new();
        for number in 0..6 {
            let mut client = BufReader::new(TcpStream::connect(echo.addr).await?);
            client.write_all(format!("line {number}\n").as_bytes()).await?;
            ensure!(line(&mut client).await? == format!("line {number}\n"));
            clients.push(client);
        }
        send(echo.pid(), Signal::TERM);
        let mut leaving = BTreeSet::new();
        for mut client in clients {
            let said = line(&mut client).await?;
            ensure!(said.ends_with(" is leaving\n"), "{said:?}");
            leaving.insert(said);
            ensure!(line(&mut client).await?.is_empty(), "more than the last word");
        }
        ensure!(leaving.len() == 3, "the connections went to {leaving:?} only");
        echo.end().await
    })
    .await
}

async fn line(client: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    client.read_line(&mut line).await?;
    Ok(line)
}

#[tokio::test]
async fn actix_accepts_by_itself() -> anyhow::Result<()> {
    let actix = Example::start("actix", &ANYWHERE).await?;
    within(30, async {
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        while seen.len() < 2 {
            // Kept, so that a node that has one is not always the first to be free.
            let mut client = Client::connect(actix.addr).await?;
            let answer = client.get("/").await?;
            seen.insert(answer.body.split("pid ").nth(1).context("no pid")?.to_owned());
            kept.push(client);
        }
        drop(kept);
        actix.stop().await
    })
    .await
}
