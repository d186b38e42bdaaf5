//! Broken releases: a reload ends them, and touches no old node.

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use multi_node_it::{client, needs, procfs, within};
use tempfile::TempDir;

use crate::command::{Running, app, json_of, pids};
use crate::load::Load;

/// A program under `run` whose release is a file.
struct Deployed {
    running: Running,
    addr: SocketAddr,
    folder: TempDir,
    nodes: usize,
}

impl Deployed {
    /// Runs this number of nodes of a good release. `RELEASE` is in the variables of `program`.
    async fn good(nodes: usize, options: &[&str], program: &[&str]) -> Deployed {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("release"), "good").expect("a file of ours");
        let release = format!("RELEASE={}", folder.path().join("release").display());
        let count = nodes.to_string();
        let place = ["-n", &count, "--bind", "127.0.0.1:0", "-e", &release, "-e", "SLOT={slot}"];
        let mut running = Running::start(&[&place, options, &["--"], program].concat());
        let addr = running.addr().await;
        running.ready(nodes).await;
        pids(addr, nodes).await;
        Deployed { running, addr, folder, nodes }
    }

    fn deploy(&self, release: &str) {
        std::fs::write(self.folder.path().join("release"), release).expect("a file of ours");
    }

    async fn reload(&self) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.running.command(&["reload", "--wait"]).await;
        (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    }

    /// The generation that each slot runs.
    async fn generations(&self) -> Vec<u64> {
        let status = json_of(&["status", "--name", &self.running.name]).await;
        let serving = status["slots"].as_array().expect("slots").iter().filter(|slot| slot["state"] == "serving");
        serving.map(|slot| slot["generation"].as_u64().expect("a number")).collect()
    }

    /// Reloads to a broken release, under load. The command exits with 1 and reports the cause, and the old nodes serve on.
    async fn breaks(&self, release: &str, cause: &str) -> Vec<String> {
        let before = procfs::children(self.running.pid());
        self.deploy(release);
        let load = Load::under_way(self.addr).await;
        let (code, said) = self.reload().await;
        let (answered, errors) = load.stop().await;
        println!("{release}: {answered} answered, lost: {errors:?}; {said}");
        let serve = format!("{0} of {0} old nodes serve", self.nodes);
        assert!(code == Some(1) && said.contains(&serve) && said.contains(cause), "{code:?}: {said}");
        while procfs::children(self.running.pid()) != before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..20 {
            let answer = client::get(self.addr, "/").await.expect("an answer");
            assert!(answer.body.starts_with("good "), "{}", answer.body);
        }
        assert_eq!(self.generations().await, vec![0; self.nodes]);
        errors
    }
}

#[tokio::test]
async fn a_release_that_does_not_load_harms_nobody() {
    if !needs::program("python3") {
        return;
    }
    within(60, async {
        let deployed = Deployed::good(2, &[], &["python3", &app("breaks.py")]).await;
        let lost = deployed.breaks("import", "ended with exit code 1").await;
        assert!(lost.is_empty(), "{lost:?}");
        deployed.deploy("good 2");
        let load = Load::under_way(deployed.addr).await;
        let (code, said) = deployed.reload().await;
        let (_, lost) = load.stop().await;
        assert!(code == Some(0) && said.starts_with("generation 2 serves in 2 slots"), "{said}");
        assert!(lost.is_empty(), "{lost:?}");
        assert_eq!(deployed.running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_release_that_dies_later_in_any_slot_harms_nobody() {
    if !needs::program("python3") {
        return;
    }
    within(120, async {
        let deployed = Deployed::good(3, &[], &["python3", &app("breaks.py")]).await;
        for release in ["dies 0 0", "dies 0.5 1", "dies 1.5 2", "dies 2.5 all"] {
            let lost = deployed.breaks(release, "ended with exit code 3").await;
            // What such a node has accepted ends with it; nobody is refused.
            assert!(lost.iter().all(|error| error != "connect"), "{release}: {lost:?}");
        }
        assert_eq!(deployed.running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_rolling_reload_tells_which_slots_it_has_replaced() {
    if !needs::program("python3") {
        return;
    }
    within(60, async {
        let deployed = Deployed::good(3, &["--rolling"], &["python3", &app("breaks.py")]).await;
        deployed.deploy("dies 0.5 1");
        let (code, said) = deployed.reload().await;
        let serve = "3 of 3 slots serve: generation 1 in slot 0, generation 0 in slots 1 2; \
                     replaced slots cannot be taken back";
        assert!(code == Some(1) && said.contains(serve), "{code:?}: {said}");
        assert_eq!(deployed.generations().await, [1, 0, 0]);
        assert_eq!(deployed.running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_node_js_program_that_throws_after_it_listens_harms_nobody() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let deployed = Deployed::good(3, &[], &["node", &app("breaks.js")]).await;
        let lost = deployed.breaks("dies 1500", "ended with exit code 1").await;
        assert!(lost.iter().all(|error| error != "connect"), "{lost:?}");
        assert_eq!(deployed.running.stop().await, Some(0));
    })
    .await;
}
