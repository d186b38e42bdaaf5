//! The library's calls in a process that serves alone: counters, the layer of limits, and leases, by the recipes of docs/leader.md with the schedulers
//! themselves. A process can `listen` once, so this is one test.

#![allow(missing_docs)]

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::{Router, routing::get};
use chrono::Utc;
use croner::Cron;
use multi_node::lease::Lease;
use multi_node::limits::{Quota, RateLimitLayer};
use multi_node::{Handle, Options, http_with, listen};
use multi_node_it::{client, within};
use tokio_cron_scheduler::{Job, JobScheduler};

const EACH_SECOND: &str = "* * * * * *";

/// Work that takes longer than a second, and when it has begun and ended.
#[derive(Clone, Default)]
struct Work(Arc<Mutex<Vec<(&'static str, Instant)>>>);

impl Work {
    async fn tick(&self) {
        self.note("begin");
        tokio::time::sleep(Duration::from_millis(1300)).await;
        self.note("end");
    }

    fn note(&self, what: &'static str) {
        self.0.lock().expect("no panic").push((what, Instant::now()));
    }

    fn notes(&self) -> Vec<(&'static str, Instant)> {
        self.0.lock().expect("no panic").clone()
    }

    fn begun(&self) -> Vec<Instant> {
        self.notes().into_iter().filter(|(what, _)| *what == "begin").map(|(_, at)| at).collect()
    }
}

#[tokio::test]
async fn a_process_that_serves_alone_limits_counts_and_does_jobs() {
    within(60, async {
        let app = async |node: Handle| {
            let requests = node.limit("requests", Quota::per_minute(3));
            Ok::<_, Infallible>(Router::new().route("/", get(async || "hello\n")).layer(RateLimitLayer::new(requests)))
        };
        let options = Options::new().host("127.0.0.1").port(0).nodes(0).control(None::<&str>);
        let nodes = listen(options, http_with(app)).await.expect("it serves");
        limits_and_counts(&nodes).await;

        let works = [Work::default(), Work::default()];
        let [first, second] = works.clone();
        let croner = nodes.leader("croner", move |lease| by_croner(lease, first.clone())).expect("a lease");
        let scheduler = nodes.leader("scheduler", move |lease| by_scheduler(lease, second.clone())).expect("a lease");
        while works.iter().any(|work| work.begun().len() < 3) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        nodes.shutdown().await.expect("it ends");
        croner.await;
        scheduler.await;
        works.iter().for_each(neither_overlap_nor_pile_up);
        let noted = works.clone().map(|work| work.notes().len());
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(works.map(|work| work.notes().len()), noted, "the next second has no tick any more");
    })
    .await;
}

async fn limits_and_counts(nodes: &Handle) {
    let addr = nodes.local_addr().to_string().parse().expect("a TCP address");
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(client::get(addr, "/").await.expect("an answer").status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let jobs = nodes.counter("jobs").expect("room");
    jobs.add(40);
    nodes.counter("jobs").expect("room").add(2);
    assert_eq!(jobs.get(), 42);
}

/// What comes due during the work is dropped, and the last tick is awaited.
fn neither_overlap_nor_pile_up(work: &Work) {
    let (notes, begun) = (work.notes(), work.begun());
    let whats: Vec<_> = notes.iter().map(|(what, _)| *what).collect();
    assert_eq!(whats, ["begin", "end"].repeat(begun.len()));
    let apart = begun[2] - begun[0];
    assert!(apart > Duration::from_millis(3500), "{apart:?}");
}

async fn by_croner(lease: Lease, work: Work) {
    let schedule = Cron::from_str(EACH_SECOND).expect("a pattern");
    let mut last = Utc::now();
    loop {
        // The system's clock may lie a little before the tick that a sleep has awaited.
        let now = Utc::now();
        last = schedule.find_next_occurrence(&now.max(last), false).expect("there is a next second");
        tokio::select! {
            () = tokio::time::sleep((last - now).to_std().unwrap_or_default()) => work.tick().await,
            () = lease.lost() => return,
        }
    }
}

async fn by_scheduler(lease: Lease, work: Work) {
    let alone = Arc::new(tokio::sync::Mutex::new(()));
    let mut scheduler = JobScheduler::new().await.expect("a scheduler");
    let (of_ticks, lost) = (alone.clone(), lease.clone());
    let job = Job::new_async(EACH_SECOND, move |_, _| {
        let (alone, lease, work) = (of_ticks.clone(), lost.clone(), work.clone());
        Box::pin(async move {
            let Ok(_alone) = alone.try_lock() else { return };
            if !lease.is_lost() {
                work.tick().await;
            }
        })
    });
    scheduler.add(job.expect("a pattern")).await.expect("added");
    scheduler.start().await.expect("started");
    lease.lost().await;
    scheduler.shutdown().await.expect("it ends");
    let _last = alone.lock().await;
}
