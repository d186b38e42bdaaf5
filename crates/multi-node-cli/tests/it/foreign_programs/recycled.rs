//! Programs that end by themselves when they have served enough.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use multi_node_it::{client, within};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::python;
use crate::command::Running;

/// Asks so many times a second, whether or not answers come, until it is told to stop: how long each answer took, and what was lost.
async fn ask_steadily(
    addr: SocketAddr,
    a_second: u32,
    mut stop: watch::Receiver<bool>,
) -> (Vec<Duration>, Vec<String>) {
    let mut requests = JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1) / a_second);
    while !*stop.borrow_and_update() {
        clock.tick().await;
        requests.spawn(async move {
            let begun = Instant::now();
            let answer = client::get(addr, "/").await.map_err(|error| format!("{error:#}"))?;
            (answer.status == 200).then(|| begun.elapsed()).ok_or_else(|| format!("status {}", answer.status))
        });
    }
    let (answered, lost): (Vec<_>, Vec<_>) = requests.join_all().await.into_iter().partition(Result::is_ok);
    (answered.into_iter().flatten().collect(), lost.into_iter().filter_map(Result::err).collect())
}

/// Nodes that end with success after 20 requests each, at 50 requests a second, until more have ended than make a crash loop.
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
        let clients = tokio::spawn(ask_steadily(addr, 50, stopped));
        for _ in 0..6 * nodes {
            let line = running.logged("its program recycles it").await;
            assert!(line.contains("starting again at once") || line.contains(" ms"), "no slot rests: {line}");
        }
        running.ready(1).await;
        let status = running.command(&["status", "--json"]).await;
        stop.send_replace(true);
        let (answered, lost) = clients.await.expect("no panic");
        let longest = answered.iter().max().expect("answers");
        println!("{nodes} nodes: {} answered, {} lost {lost:?}, {longest:?} at most", answered.len(), lost.len());
        assert!(lost.iter().all(|error| !error.starts_with("connect")), "nobody is refused: {lost:?}");
        assert!(answered.len() >= 10 * lost.len(), "what uvicorn closes unread is little: {lost:?}");
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
