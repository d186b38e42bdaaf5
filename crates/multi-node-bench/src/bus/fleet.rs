//! The library: the master publishes on a topic, and its nodes subscribe.

use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use multi_node::bus::{Event, Payload, RawTopic, Request};
use multi_node::status::Slot;
use multi_node::{Handle, Listener, Nodes, listen, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{BYTES, Counted, Finding, SUBSCRIBERS, Task, Work, print_line, stamp};
use crate::process;
use crate::variants::multi_node::{options, until_end};

/// In the master: publishes or asks. In its nodes: subscribes or answers, and writes the finding to standard output.
pub(crate) fn run(work: &Work) -> Result<()> {
    process::die_with_parent()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let count = if work.task == Task::Requests { 1 } else { SUBSCRIBERS };
        let options = options(count, 0).control(None);
        // Only the master makes the socket: the nodes find it.
        let bare = (work.task == Task::Requests && multi_node::role() == multi_node::Role::Master)
            .then(|| listen_at(&work.place))
            .transpose()?;
        let nodes = listen(options, raw(idle)).await?;
        match (nodes.is_master(), work.task) {
            (true, Task::Requests) => requests(&nodes, bare.context("a socket")?, work.count).await?,
            (true, _) => publish(&nodes, work).await?,
            (false, Task::Requests) => answer(&nodes, work).await?,
            // As what serves a connection, it is a task.
            (false, _) => tokio::spawn(subscribe(nodes.handle(), work.count)).await??,
        }
        until_end(&nodes).await
    })
}

/// Nobody connects.
async fn idle(listener: Listener, _: Handle) -> std::io::Result<()> {
    listener.draining().await;
    Ok(())
}

async fn publish(nodes: &Nodes, work: &Work) -> Result<()> {
    let topic = nodes.raw_topic("bench")?;
    all_subscribed(&topic).await?;
    for number in 0..work.count {
        // What nobody has room for would be missed.
        if number.is_multiple_of(256) {
            topic.room().await;
        }
        let _ = topic.publish(Payload::bytes(stamp(work.task, number).to_vec()))?;
        match work.task {
            Task::AtRest => tokio::time::sleep(Duration::from_millis(2)).await,
            _ if number.is_multiple_of(1024) => tokio::task::yield_now().await,
            _ => {}
        }
    }
    Ok(())
}

async fn all_subscribed(topic: &RawTopic) -> Result<()> {
    let begin = Instant::now();
    while topic.publish(Payload::text("?"))?.sent < SUBSCRIBERS {
        ensure!(begin.elapsed() < Duration::from_secs(30), "not all nodes have subscribed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn subscribe(nodes: Handle, count: u64) -> Result<()> {
    let mut subscription = nodes.raw_topic("bench")?.subscribe().await;
    let mut counted = Counted::new(count);
    while !counted.is_complete() {
        match subscription.recv().await {
            Event::Message { payload, .. } => counted.take(&payload.bytes),
            Event::Lagged { missed, .. } => counted.missed += missed,
        }
    }
    counted.print()
}

fn listen_at(place: &std::path::Path) -> Result<UnixListener> {
    // That of the round before.
    let _ = std::fs::remove_file(place);
    Ok(UnixListener::bind(place)?)
}

/// Requests and bare round trips in turns, so that both meet the same machine.
async fn requests(nodes: &Nodes, listener: UnixListener, count: u64) -> Result<()> {
    listener.set_nonblocking(true)?;
    let (mut bare, _) = tokio::net::UnixListener::from_std(listener)?.accept().await?;
    let mut findings = [(); 2].map(|()| Finding { seconds: 0.0, missed: 0, micros: Vec::new() });
    for _ in 0..count {
        let begin = Instant::now();
        nodes.raw_request("echo", Payload::bytes(vec![1; BYTES])).to(Slot::from(0)).await?;
        findings[0].micros.push(begin.elapsed().as_nanos() as f64 / 1e3);
        let begin = Instant::now();
        // A request's message is as long, with its frame.
        bare.write_all(&[1; BYTES + 18]).await?;
        bare.read_exact(&mut [0; BYTES + 18]).await?;
        findings[1].micros.push(begin.elapsed().as_nanos() as f64 / 1e3);
    }
    findings.iter().try_for_each(print_line)
}

async fn answer(nodes: &Nodes, work: &Work) -> Result<()> {
    nodes.respond_raw("echo", |request: Request| async { Ok::<_, String>(request.payload) })?;
    let stream = UnixStream::connect(&work.place)?;
    stream.set_nonblocking(true)?;
    let mut stream = tokio::net::UnixStream::from_std(stream)?;
    let mut message = [0; BYTES + 18];
    while stream.read_exact(&mut message).await.is_ok() {
        stream.write_all(&message).await?;
    }
    Ok(())
}
