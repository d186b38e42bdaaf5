//! Log-ins hold at every node, whatever becomes of one.

use std::collections::BTreeSet;

use multi_node_it::client::{Answer, Client};
use multi_node_it::{Example, send, within};
use rustix::process::Signal;

/// A browser: it keeps the session's cookie, and makes a connection for each request.
struct Browser<'a> {
    example: &'a Example,
    cookie: String,
}

impl Browser<'_> {
    async fn get(&mut self, path: &str) -> Answer {
        let mut client = Client::connect(self.example.addr).await.expect("it serves");
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
            assert_eq!(answer.status, 200, "{}", self.example.log());
            names.insert(answer.id());
            pids.insert(answer.pid());
        }
        (names, pids)
    }
}

fn only(name: &str) -> BTreeSet<String> {
    BTreeSet::from([name.to_owned()])
}

#[tokio::test]
async fn a_log_in_holds_on_every_node_over_crash_and_reload() {
    within(110, async {
        let runtime = tempfile::tempdir().expect("a folder");
        let folder = runtime.path().to_str().expect("text");
        let variables = [("PORT", "0"), ("HOST", "127.0.0.1"), ("NODES", "4"), ("XDG_RUNTIME_DIR", folder)];
        let example = Example::start("sessions", &variables).await.expect("it serves");
        let mut browser = Browser { example: &example, cookie: String::new() };
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
async fn until_others(browser: &mut Browser<'_>, before: &BTreeSet<u32>) -> BTreeSet<u32> {
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
        let mut browser = Browser { example: &example, cookie: String::new() };
        browser.get("/login/Ada").await;
        let cookie = browser.cookie;
        assert!(example.log().contains("they survive restarts"), "{}", example.log());
        example.stop().await.expect("it ends well");
        let example = Example::start("sessions", &variables).await.expect("it serves");
        assert_eq!(Browser { example: &example, cookie }.known_as().await.0, only("Ada"));
        example.stop().await.expect("it ends well");
    })
    .await;
}
