//! Routes of the fixture program that open streams to processes of other machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use multi_node::Handle;
use multi_node::mesh::{ByteStream, RemotePeer, StreamReset};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How much is written or read at a time.
const PIECE: usize = 64 << 10;

/// Sends back what comes by streams, and gives the routes: `/streams/echo/MACHINE/SLOT/MIB` has that many MiB sent back by another process,
/// `/streams/progress` says how many bytes came back, `/streams/stall/MACHINE/SLOT` writes and reads nothing, `/streams/stalled` says how many
/// bytes it could write. `/streams/drop/MACHINE/SLOT` has the other side drop a stream.
///
/// # Errors
/// Where the process can accept no streams.
pub fn routes(node: &Handle) -> anyhow::Result<Router> {
    accept(node)?;
    let (came, stalled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (progress, stall) = (came.clone(), stalled.clone());
    let (echoing, stalling, dropping) = (node.clone(), node.clone(), node.clone());
    let echo = move |Path((machine, slot, mib)): Path<(String, u16, u64)>| async move {
        let stream = open(&echoing, &machine, slot).await;
        Json(match stream {
            Ok(stream) => echoed(stream, mib << 20, &came).await,
            Err(reset) => json!({ "came": 0, "reset": reset.to_string() }),
        })
    };
    let stall_at = move |Path((machine, slot)): Path<(String, u16)>| async move {
        let stream = open(&stalling, &machine, slot).await;
        Json(json!(stream.map(|stream| drop(tokio::spawn(write_only(stream, stall)))).is_ok()))
    };
    let drop_at = move |Path((machine, slot)): Path<(String, u16)>| async move {
        Json(match open(&dropping, &machine, slot).await {
            Ok(stream) => json!(has_dropped(stream).await.map(|reset| reset.to_string())),
            Err(reset) => json!({ "reset": reset.to_string() }),
        })
    };
    Ok(Router::new()
        .route("/streams/echo/{machine}/{slot}/{mib}", get(echo))
        .route("/streams/progress", get(move || async move { Json(progress.load(Ordering::Relaxed)) }))
        .route("/streams/stall/{machine}/{slot}", get(stall_at))
        .route("/streams/stalled", get(move || async move { Json(stalled.load(Ordering::Relaxed)) }))
        .route("/streams/drop/{machine}/{slot}", get(drop_at)))
}

fn accept(node: &Handle) -> anyhow::Result<()> {
    let mut incoming = node.incoming_streams()?;
    tokio::spawn(async move {
        while let Some(stream) = incoming.accept().await {
            tokio::spawn(send_back(stream));
        }
    });
    Ok(())
}

/// The first byte says what to do: 0: send all back; else: drop the stream.
async fn send_back(mut stream: ByteStream) -> std::io::Result<()> {
    if stream.read_u8().await? == 0 {
        let (mut reader, mut writer) = tokio::io::split(stream);
        tokio::io::copy(&mut reader, &mut writer).await?;
        writer.shutdown().await?;
    }
    Ok(())
}

/// To the process in this slot of the machine, once it is known.
async fn open(node: &Handle, machine: &str, slot: u16) -> Result<ByteStream, StreamReset> {
    let is_it = |peer: &RemotePeer| peer.machine() == machine && peer.slot().is_some_and(|its| its.0 == slot);
    let mut events = node.machine_events();
    loop {
        if let Some(peer) = node.remote_peers().into_iter().find(is_it) {
            let stream = peer.open_stream().await?;
            assert_eq!((stream.peer(), stream.remote()), (peer.id(), Some(peer.process())));
            return Ok(stream);
        }
        events.next().await;
    }
}

/// Any byte depends on its place.
fn piece(at: u64, length: usize) -> Vec<u8> {
    let byte = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    (at..).take(length).map(byte).collect()
}

async fn echoed(stream: ByteStream, bytes: u64, progress: &AtomicU64) -> Value {
    let (reader, mut writer) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        writer.write_u8(0).await?;
        write(&mut writer, bytes).await?;
        writer.shutdown().await
    });
    let (came, read) = compare(reader, progress).await;
    let written = writing.await.expect("no panic");
    let error = read.err().or(written.err());
    let reset = error.as_ref().and_then(StreamReset::of);
    json!({
        "came": came,
        "reset": reset.map(|reset| reset.to_string()),
        "error": error.filter(|_| reset.is_none()).map(|error| error.to_string()),
    })
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: u64) -> std::io::Result<()> {
    for at in (0..bytes).step_by(PIECE) {
        writer.write_all(&piece(at, PIECE)).await?;
    }
    Ok(())
}

/// Reads to the end. An error if a byte is wrong.
async fn compare(mut reader: impl AsyncRead + Unpin, progress: &AtomicU64) -> (u64, std::io::Result<()>) {
    let (mut came, mut buffer) = (0, vec![0; PIECE]);
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) => return (came, Ok(())),
            Ok(read) if buffer[..read] == piece(came, read) => came += read as u64,
            Ok(_) => return (came, Err(std::io::Error::other(format!("wrong bytes after {came}")))),
            Err(error) => return (came, Err(error)),
        }
        progress.store(came, Ordering::Relaxed);
    }
}

async fn write_only(mut stream: ByteStream, written: Arc<AtomicU64>) -> std::io::Result<()> {
    stream.write_u8(0).await?;
    loop {
        stream.write_all(&[7; 1024]).await?;
        written.fetch_add(1024, Ordering::Relaxed);
    }
}

/// Has the other side drop the stream, and writes until that shows.
async fn has_dropped(mut stream: ByteStream) -> Option<StreamReset> {
    loop {
        if let Err(error) = stream.write_all(&[1; 1024]).await {
            return StreamReset::of(&error);
        }
    }
}
