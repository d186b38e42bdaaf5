//! Streams to peers that are read or written on command only.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use multi_node::mesh::Peer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A write that is not accepted for so long is taken to wait for the reader.
const PATIENCE: Duration = Duration::from_millis(300);
/// More than any socket buffers.
const MOST: usize = 64 << 20;

/// The streams, by the peer's id.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<BTreeMap<String, Peer>>>);

/// Whether a command is one for [`Held::obey`].
pub fn knows(command: &str) -> bool {
    ["held", "epochs", "fill", "read", "finish", "write"].contains(&command.split(' ').next().unwrap_or_default())
}

impl Held {
    /// Keeps a stream.
    pub fn hold(&self, peer: Peer) {
        self.0.lock().expect("no panic").insert(peer.id().to_string(), peer);
    }

    /// Carries out `held`, `epochs`, or `fill ID`, `read ID BYTES`, `finish ID`, `write ID`.
    pub async fn obey(&self, command: &str) -> Value {
        let words: Vec<&str> = command.split(' ').collect();
        if words == ["held"] {
            return json!(self.0.lock().expect("no panic").keys().collect::<Vec<_>>());
        }
        if words == ["epochs"] {
            return json!(
                self.0.lock().expect("no panic").values().map(|peer| peer.info().epoch()).collect::<Vec<_>>()
            );
        }
        let peer = words.get(1).and_then(|id| self.0.lock().expect("no panic").remove(*id));
        let Some(mut peer) = peer else { return json!({ "unknown": command }) };
        let answer = match words[..] {
            ["fill", _] => told(fill(&mut peer).await),
            ["read", _, bytes] => told(read(&mut peer, bytes.parse().unwrap_or(0)).await),
            ["finish", _] => told(tokio::io::copy(&mut peer, &mut tokio::io::sink()).await),
            ["write", _] => told(peer.write(&[1]).await),
            _ => json!({ "unknown": command }),
        };
        self.hold(peer);
        answer
    }
}

fn told<T: serde::Serialize>(result: io::Result<T>) -> Value {
    json!(result.map_err(|error| format!("{:?}", error.kind())))
}

/// Writes until the stream takes no more; returns how many bytes it took.
async fn fill(peer: &mut Peer) -> io::Result<usize> {
    let chunk = vec![7; 64 << 10];
    let mut written = 0;
    while written < MOST {
        match tokio::time::timeout(PATIENCE, peer.write(&chunk)).await {
            Ok(count) => written += count?,
            Err(_) => break,
        }
    }
    Ok(written)
}

async fn read(peer: &mut Peer, bytes: usize) -> io::Result<usize> {
    let mut buffer = vec![0; bytes];
    peer.read_exact(&mut buffer).await
}
