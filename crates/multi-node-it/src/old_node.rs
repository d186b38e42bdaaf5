//! A node of another release: it does not link the library of today, and knows one version of the protocol.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::frames::{Frames, name};
use crate::plan::Fault;

/// What its answers have, and those of no other node.
pub const MARK: &str = "of another release";

/// The log line of such a node that got a message which its version of the protocol does not have.
pub const STRANGE: &str = "its version has no such message";

const BEAT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// How long it lives after `drain`, like a node that has answers to finish. During that time it must get no message any more.
const DRAIN: Duration = Duration::from_millis(300);

/// Is such a node to its end, if that is laid.
pub fn play(faults: &Path) -> anyhow::Result<()> {
    if Fault::SpeakMore.is_laid(faults) {
        live_later()?;
        std::process::exit(0);
    }
    let ways = [(Fault::SpeakVersionOne, 1), (Fault::SpeakVersionNine, 9)];
    let Some((_, version)) = ways.into_iter().find(|(fault, _)| fault.is_laid(faults)) else { return Ok(()) };
    live(version)?;
    std::process::exit(0);
}

fn live(version: u32) -> anyhow::Result<()> {
    let mut master = Frames::new(take_stdin()?)?;
    let listener = introduce(&mut master, version)?;
    master.send(&json!("ready"), &[])?;
    serve(&mut master, &listener)?;
    drop(listener);
    drain(&mut master)
}

/// How many messages of kinds that no release has a node says that is of a later one.
pub const UNKNOWN_KINDS: u64 = 3;

/// A node of a later release: it sends more, and gets only messages that its version has.
fn live_later() -> anyhow::Result<()> {
    let mut master = Frames::new(take_stdin()?)?;
    master.send(&json!("stretches"), &[])?;
    let versions = json!({ "lowest": 1, "highest": 9, "mood": "good" });
    let capabilities = ["skips_unknown", "handoff_hello", "weighs"];
    let hello =
        json!({ "versions": versions, "addresses": [["127.0.0.1:0"]], "capabilities": capabilities, "mood": 7 });
    master.send(&json!({ "hello": hello }), &[])?;
    let (answer, fds) = master.receive()?.context("the master is gone")?;
    let hello_ack = &answer["hello_ack"];
    ensure!(hello_ack["version"] == 2 && hello_ack["capabilities"][0] == "skips_unknown", "another welcome: {answer}");
    let listener = listener(hello_ack, fds)?;
    master.send(&json!({ "weighs": { "grams": 70_000, "of": [1, { "left": null }] } }), &[])?;
    master.send(&json!("ready"), &[])?;
    // A message of a later release may have descriptors where there are none today.
    let null = File::open("/dev/null")?;
    master.send(&json!({ "lends": { "what": "null" } }), &[null.as_fd()])?;
    loop {
        if heard(&mut master, Some(&listener))? {
            let (message, _fds) = master.receive()?.context("the master is gone")?;
            if name(&message) == "drain" {
                return Ok(());
            }
        }
        master.send(&json!("beat"), &[])?;
    }
}

/// Serves until it gets the drain.
fn serve(master: &mut Frames, listener: &TcpListener) -> anyhow::Result<()> {
    loop {
        if heard(master, Some(listener))? && told(master)? == Received::Drain {
            return Ok(());
        }
        master.send(&json!("beat"), &[])?;
    }
}

fn drain(master: &mut Frames) -> anyhow::Result<()> {
    let end = Instant::now() + DRAIN;
    while Instant::now() < end {
        if heard(master, None)? && told(master)? == Received::Drain {
            bail!("a second drain: {STRANGE}");
        }
    }
    Ok(())
}

/// The control socket; `/dev/null` remains.
fn take_stdin() -> anyhow::Result<UnixStream> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(taken))
}

/// Says hello, and returns the first of the listening sockets.
fn introduce(master: &mut Frames, version: u32) -> anyhow::Result<TcpListener> {
    let versions = json!({ "lowest": version, "highest": version });
    master.send(&json!({ "hello": { "versions": versions, "addresses": [["127.0.0.1:0"]] } }), &[])?;
    let (answer, fds) = master.receive()?.context("the master is gone")?;
    ensure!(answer["hello_ack"]["version"] == version, "no hello_ack of version {version}: {answer}");
    listener(&answer["hello_ack"], fds)
}

/// The first of the listening sockets.
fn listener(hello_ack: &Value, fds: Vec<OwnedFd>) -> anyhow::Result<TcpListener> {
    let place = hello_ack["servers"][0][0][1].as_u64().context("no listening socket")?;
    Ok(fds.into_iter().nth(place.try_into()?).context("it has not come")?.into())
}

/// Waits until the next beat at most; true: the master has sent something. Clients that connect get an answer.
fn heard(master: &mut Frames, listener: Option<&TcpListener>) -> anyhow::Result<bool> {
    let mut wanted = vec![PollFd::new(master, PollFlags::IN)];
    wanted.extend(listener.map(|listener| PollFd::new(listener, PollFlags::IN)));
    poll(&mut wanted, Some(&BEAT))?;
    let (spoken, connected) = (!wanted[0].revents().is_empty(), wanted.last().is_some_and(|w| !w.revents().is_empty()));
    if let Some(listener) = listener.filter(|_| connected) {
        answer(listener)?;
    }
    Ok(spoken)
}

/// Answers one request, if no other node was faster.
fn answer(listener: &TcpListener) -> anyhow::Result<()> {
    let mut client = match listener.accept() {
        Ok((client, _)) => client,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? == 1 {
        head.extend(byte);
    }
    let parent_info = std::env::var("MULTI_NODE_PARENT")?;
    let id = parent_info.rsplit(':').next().unwrap_or_default();
    let body = format!("{id} {} {MARK}\n", std::process::id());
    let length = body.len();
    Ok(write!(client, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")?)
}

#[derive(PartialEq)]
enum Received {
    Drain,
    Nothing,
}

/// Reads a message. Streams to peers are closed, as by any node that has no use for them.
fn told(master: &mut Frames) -> anyhow::Result<Received> {
    let (message, _fds) = master.receive()?.context("the master is gone")?;
    let of_master = |message: &Value| message["gone"]["id"] == 0;
    match name(&message) {
        "drain" => Ok(Received::Drain),
        "joined" | "status" => Ok(Received::Nothing),
        "gone" if !of_master(&message) => Ok(Received::Nothing),
        _ => bail!("{message}: {STRANGE}"),
    }
}
