//! Log-ins hold at every node, whatever becomes of one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use multi_node::admin::{self, ClientError, Instance, Request};
use multi_node_it::client::{Answer, Client};
use multi_node_it::{Example, from_env, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;

/// Answers that the load waits for; `SESSIONS_SECONDS` and `DEPLOYS`, for the long lanes, are how long and often it goes on at least.
const ANSWERS: u64 = 5000;

/// A browser: it keeps the session's cookie, and makes a connection for each request.
struct Browser {
    addr: SocketAddr,
    cookie: String,
}

impl Browser {
    fn of(example: &Example) -> Browser {
        Browser { addr: example.addr, cookie: String::new() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let mut client = Client::connect(self.addr).await.expect("it serves");
        let cookie = &self.cookie;
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n")).await.expect("sent");
        let (answer, sent) = client.answer_as_sent().await.expect("an answer");
        let set = sent.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        if let Some(cookie) = set {
            self.cookie = cookie.to_owned();
        }
        answer
    }

    /// Which users 40 requests were answered for, and by which processes.
    async fn known_as(&mut self) -> (BTreeSet<String>, BTreeSet<u32>) {
        let (mut names, mut pids) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..40 {
            let answer = self.get("/").await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            names.insert(answer.id());
            pids.insert(answer.pid());
        }
        (names, pids)
    }
}

async fn four_nodes(example: &str, runtime: &Path) -> Example {
    let folder = runtime.to_str().expect("text");
    let variables = [("PORT", "0"), ("HOST", "127.0.0.1"), ("NODES", "4"), ("XDG_RUNTIME_DIR", folder)];
    Example::start(example, &variables).await.expect("it serves")
}

fn only(name: &str) -> BTreeSet<String> {
    BTreeSet::from([name.to_owned()])
}

#[tokio::test]
async fn a_log_in_holds_on_every_node_over_crash_and_reload() {
    within(110, async {
        let runtime = tempfile::tempdir().expect("a folder");
        let example = four_nodes("sessions", runtime.path()).await;
        let mut browser = Browser::of(&example);
        assert_eq!(browser.get("/login/Ada").await.body, "welcome, Ada");
        let (names, first) = browser.known_as().await;
        assert_eq!(names, only("Ada"));
        assert!(first.len() > 1, "several nodes have answered");
        for pid in &first {
            send(*pid, Signal::KILL);
        }
        let second = until_others(&mut browser, &first).await;
        send(example.pid(), Signal::HUP);
        until_others(&mut browser, &second).await;
        browser.get("/logout").await;
        assert_eq!(browser.known_as().await.0, only("nobody"));
        assert!(example.log().contains("they are lost when the program ends"), "{}", example.log());
        example.stop().await.expect("it ends well");
        let left = std::fs::read_dir(runtime.path().join("multi-node")).expect("a folder").flatten();
        let left: Vec<_> =
            left.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with("run-")).collect();
        assert!(left.is_empty(), "{left:?} is left");
    })
    .await;
}

/// Asks, as one who is logged in, until none of these processes answers. They may end with a connection that they have just accepted.
async fn until_others(browser: &mut Browser, before: &BTreeSet<u32>) -> BTreeSet<u32> {
    loop {
        let (names, pids) = browser.known_as().await;
        assert_eq!(names, only("Ada"));
        if pids.is_disjoint(before) {
            return pids;
        }
    }
}

#[tokio::test]
async fn sessions_in_the_services_state_directory_survive_a_restart() {
    within(60, async {
        let folders = tempfile::tempdir().expect("a folder");
        let state = folders.path().join("state");
        std::fs::create_dir(&state).expect("made");
        let variables = [
            ("PORT", "0"),
            ("NODES", "2"),
            ("XDG_RUNTIME_DIR", folders.path().to_str().expect("text")),
            ("STATE_DIRECTORY", state.to_str().expect("text")),
        ];
        let example = Example::start("sessions", &variables).await.expect("it serves");
        let mut browser = Browser::of(&example);
        browser.get("/login/Ada").await;
        let cookie = browser.cookie;
        assert!(example.log().contains("they survive restarts"), "{}", example.log());
        example.stop().await.expect("it ends well");
        let example = Example::start("sessions", &variables).await.expect("it serves");
        assert_eq!(Browser { cookie, ..Browser::of(&example) }.known_as().await.0, only("Ada"));
        example.stop().await.expect("it ends well");
    })
    .await;
}

fn seconds() -> Option<u64> {
    from_env("SESSIONS_SECONDS")
}

fn deploys() -> u64 {
    from_env("DEPLOYS").unwrap_or(1)
}

/// What users have met together.
#[derive(Default)]
struct Met {
    answers: AtomicU64,
    log_ins: AtomicU64,
    over: AtomicBool,
}

/// Logs in, asks who it is, and logs out, until all is over.
async fn come_and_go(addr: SocketAddr, user: usize, met: Arc<Met>) {
    for visit in 0.. {
        let (name, mut browser) = (format!("user-{user}-{visit}"), Browser { addr, cookie: String::new() });
        assert_eq!(browser.get(&format!("/login/{name}")).await.body, format!("welcome, {name}"));
        for _ in 0..20 {
            assert_eq!(browser.get("/").await.id(), name, "visit {visit} of user {user}");
        }
        browser.get("/logout").await;
        assert_eq!(browser.get("/").await.id(), "nobody", "visit {visit} of user {user} has ended");
        met.answers.fetch_add(23, Relaxed);
        met.log_ins.fetch_add(1, Relaxed);
        if met.over.load(Relaxed) {
            return;
        }
    }
}

async fn command(socket: &Path, request: Value) -> Result<Value, ClientError> {
    let request: Request = serde_json::from_value(request).expect("a request");
    admin::Client::connect_to(socket).await?.ask(&request).await
}

/// Waits until the next master answers for the program.
async fn until_upgraded(socket: &Path) {
    loop {
        if let Ok(status) = command(socket, json!({ "command": "status" })).await {
            let instance: Instance = serde_json::from_value(status).expect("a status");
            if instance.ready {
                return;
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn nobody_is_logged_out_by_reloads_upgrades_and_scaling() {
    users_stay("sessions").await;
}

#[tokio::test]
async fn nor_is_a_user_of_axum_login() {
    users_stay("login").await;
}

async fn users_stay(example: &str) {
    within(100 + seconds().unwrap_or_default() + 20 * deploys(), async {
        let runtime = tempfile::tempdir().expect("a folder");
        let socket = runtime.path().join(format!("multi-node/{example}.sock"));
        let (met, example) = (Arc::new(Met::default()), four_nodes(example, runtime.path()).await);
        let users: Vec<_> = (0..8).map(|user| tokio::spawn(come_and_go(example.addr, user, met.clone()))).collect();
        let begin = Instant::now();
        let is_over = || {
            let answers = met.answers.load(Relaxed);
            seconds().map_or(answers >= ANSWERS, |seconds| begin.elapsed() >= Duration::from_secs(seconds))
        };
        let mut rounds = 0;
        while rounds < deploys() || !is_over() {
            command(&socket, json!({ "command": "reload" })).await.expect("reloaded");
            command(&socket, json!({ "command": "scale", "nodes": 2 })).await.expect("fewer nodes");
            let gone = command(&socket, json!({ "command": "upgrade" })).await.expect_err("the connection ends");
            assert!(!matches!(gone, ClientError::Refused(_)), "{gone}");
            until_upgraded(&socket).await;
            command(&socket, json!({ "command": "scale", "nodes": 4 })).await.expect("more nodes");
            rounds += 1;
        }
        met.over.store(true, Relaxed);
        for user in users {
            user.await.expect("every answer was right");
        }
        let (answers, log_ins) = (met.answers.load(Relaxed), met.log_ins.load(Relaxed));
        println!("{answers} answers to {log_ins} log-ins over {rounds} reloads and upgrades, none of them wrong");
        example.stop().await.expect("it ends well");
    })
    .await;
}
