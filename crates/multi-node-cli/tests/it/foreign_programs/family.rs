//! What a node's workers use is what the node uses.

use multi_node_it::{client, within};
use serde_json::Value;

use super::python;
use crate::command::{Running, pids};

/// Shares 64 MiB with its workers, and grows by 128 MiB in the worker that is asked to.
const APP: &str = "
import os
shared = bytearray(b'x') * (64 << 20)
kept = []
def app(environ, start):
    if environ['PATH_INFO'] == '/grow':
        kept.append(bytearray(b'x') * (128 << 20))
    body = f'worker {os.getpid()}'.encode()
    start('200 OK', [('content-type', 'text/plain'), ('content-length', str(len(body)))])
    return [body]
";

#[tokio::test]
async fn a_worker_that_grows_has_its_node_replaced_and_what_workers_share_counts_once() {
    let Some(path) = python("gunicorn") else { return };
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("grows.py"), APP).expect("a file of ours");
        let path = format!("{path}:{}", folder.path().display());
        let options = ["-n", "1", "--bind", "127.0.0.1:0", "--max-memory", "192MiB", "-e", &path, "--"];
        let server = ["python3", "-m", "gunicorn", "--preload", "-w", "3", "grows:app"];
        let mut running = Running::start(&[&options[..], &server].concat());
        let addr = running.addr().await;
        running.ready(1).await;
        pids(addr, 2).await;
        // A look at processes while others of them are forked counts some pages more than once.
        let mut memory = 0;
        while !(64 << 20..160 << 20).contains(&memory) {
            let output = running.command(&["status", "--json"]).await;
            let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(
                status["slots"][0]["id"], "node-1",
                "the 64 MiB of four processes count once, not {memory}: {status}"
            );
            memory = status["slots"][0]["pss_bytes"].as_u64().expect("known");
        }

        client::get(addr, "/grow").await.expect("an answer");
        running.logged("recycling done").await;
        let status: Value = serde_json::from_slice(&running.command(&["status", "--json"]).await.stdout).expect("JSON");
        assert_eq!(status["slots"][0]["id"], "node-2", "{status}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
