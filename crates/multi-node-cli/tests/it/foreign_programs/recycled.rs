//! Programs that end on their own when they have served enough.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use multi_node_it::{client, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::python;
use crate::command::Running;

/// Clients, each with one request at a time, and the pause between two of one client: a node serves its 20 for about half a second.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(80);

/// One client, until `stop`: how long each answer took, and what was lost.
async fn ask_again_and_again(addr: SocketAddr, stop: watch::Receiver<bool>) -> (Vec<Duration>, Vec<String>) {
    let (mut answered, mut lost) = (Vec::new(), Vec::new());
    while !*stop.borrow() {
        let begun = Instant::now();
        match client::get(addr, "/").await {
            Ok(answer) if answer.status == 200 => answered.push(begun.elapsed()),
            Ok(answer) => lost.push(format!("status {}", answer.status)),
            Err(error) => lost.push(format!("{error:#}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
    (answered, lost)
}

/// Nodes that end with success after 20 requests each, until more have ended than make a crash loop.
async fn serves_throughout(nodes: usize) {
    let Some(path) = python("uvicorn") else { return };
    within(100, async {
        let uvicorn = ["python3", "-m", "uvicorn", "--limit-max-requests", "20", "--fd", "{fd}", "server:asgi"];
        let count = nodes.to_string();
        let options = ["-n", &count, "--bind", "127.0.0.1:0", "--defer-accept", "-e", &path, "--"];
        let mut running = Running::start(&[&options, &uvicorn[..]].concat());
        let addr = running.addr().await;
        running.ready(nodes).await;
        let (stop, stopped) = watch::channel(false);
        let clients: JoinSet<_> = (0..CLIENTS).map(|_| ask_again_and_again(addr, stopped.clone())).collect();
        let ends = 6 * nodes;
        for _ in 0..ends {
            let line = running.logged("its program recycles it").await;
            assert!(line.contains("starting again at once") || line.contains(" ms"), "no slot rests: {line}");
        }
        running.ready(1).await;
        let status = running.command(&["status", "--json"]).await;
        stop.send_replace(true);
        let (answered, lost): (Vec<_>, Vec<_>) = clients.join_all().await.into_iter().unzip();
        let (answered, lost) = (answered.concat(), lost.concat());
        let longest = answered.iter().max().expect("answers");
        println!("{nodes} nodes: {} answered, {} lost {lost:?}, {longest:?} at most", answered.len(), lost.len());
        assert!(lost.iter().all(|error| !error.starts_with("connect")), "nobody is refused: {lost:?}");
        // uvicorn closes unread what it has accepted when it ends: at most one request of each client.
        assert!(
            lost.len() <= ends * CLIENTS && answered.len() > lost.len(),
            "{} answered, lost: {lost:?}",
            answered.len()
        );
        assert!(*longest < Duration::from_secs(20), "a slot that rests does so for 30 s, and this took {longest:?}");
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
        assert!(status["slots"].as_array().expect("slots").iter().all(|slot| slot["restarts"] == 0), "{status}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn uvicorn_that_ends_after_some_requests_serves_throughout() {
    serves_throughout(2).await;
}

#[tokio::test]
async fn one_node_that_ends_after_some_requests_serves_throughout() {
    serves_throughout(1).await;
}
