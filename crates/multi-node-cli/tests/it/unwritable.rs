//! Where files cannot be written: a program serves without its control socket, and commands that look for it say why.

use std::path::Path;
use std::process::Stdio;

use multi_node_it::{get, needs, within};
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::process::Command;

use crate::command::{Running, app, multi_node};

/// A folder that nobody may write to.
enum Unwritable {
    /// On a file system that is read-only for the processes in a mount namespace.
    ReadOnly(TempDir),
    /// In whose place there is a file.
    InTheWay(TempDir),
}

/// Makes the folder `$1` read-only, and becomes what follows.
const READ_ONLY: &str = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";

impl Unwritable {
    fn both() -> [Unwritable; 2] {
        let in_the_way = tempfile::tempdir().expect("a folder");
        std::fs::write(in_the_way.path().join("multi-node"), "").expect("a file of ours");
        [Unwritable::InTheWay(in_the_way), Unwritable::ReadOnly(tempfile::tempdir().expect("a folder"))]
    }

    fn path(&self) -> &Path {
        match self {
            Unwritable::ReadOnly(folder) | Unwritable::InTheWay(folder) => folder.path(),
        }
    }

    /// What the system says.
    fn why(&self) -> &'static str {
        match self {
            Unwritable::ReadOnly(_) => "ead-only file system",
            Unwritable::InTheWay(_) => "the runtime directory is no directory",
        }
    }

    /// The command where this is the runtime directory; `None` where that cannot be had.
    fn multi_node(&self, args: &[&str]) -> Option<Command> {
        let own = multi_node(args);
        let mut command = match self {
            Unwritable::InTheWay(_) => own,
            Unwritable::ReadOnly(folder) => {
                let flags: &[_] = if geteuid().is_root() { &["--mount"] } else { &["--mount", "--map-root-user"] };
                if !needs::unshare(flags) {
                    return None;
                }
                let mut command = Command::new("unshare");
                command.args(flags).args(["sh", "-c", READ_ONLY]).arg(folder.path());
                command.arg(own.as_std().get_program()).args(own.as_std().get_args());
                command.stdin(Stdio::null()).kill_on_drop(true);
                command
            }
        };
        command.env("XDG_RUNTIME_DIR", self.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(command)
    }

    /// What a command says that ends.
    async fn says(&self, args: &[&str]) -> Option<(Option<i32>, String)> {
        let output = self.multi_node(args)?.output().await.expect("it starts");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Some((output.status.code(), text))
    }
}

#[tokio::test]
async fn a_program_serves_without_a_control_socket_and_commands_say_why() {
    if !needs::program("python3") {
        return;
    }
    within(60, async {
        for place in Unwritable::both() {
            let args = ["run", "--name", "web", "-n", "1", "--bind", "127.0.0.1:0", "--ready", "auto", "--", "python3"];
            let Some(mut command) = place.multi_node(&[&args[..], &[&app("plain.py")]].concat()) else { continue };
            command.stdout(Stdio::null());
            let mut running = Running::of(command);
            let warning = running.logged("cannot open the control socket").await;
            assert!(warning.contains("WARN") && warning.contains(place.why()), "{warning}");
            assert!(warning.contains("the program serves without"), "{warning}");
            let addr = running.addr().await;
            running.ready(1).await;
            assert!(get(addr, "/").await.expect("an answer").body.starts_with("plain "));

            for asked in [&["status"][..], &["status", "--name", "web"], &["reload", "--name", "web"], &["stop"]] {
                let Some((code, text)) = place.says(asked).await else { continue };
                // A directory that is not this user's own is an error for every name.
                let told =
                    matches!(place, Unwritable::InTheWay(_)) || code == Some(4) && text.contains("--control PATH");
                assert!(told && code != Some(0) && text.contains(place.why()), "{asked:?}: {code:?} {text}");
            }
            assert_eq!(running.stop().await, Some(0));
        }
    })
    .await;
}

#[tokio::test]
async fn a_control_socket_that_was_asked_for_has_to_be_there() {
    within(60, async {
        for place in Unwritable::both() {
            let path = place.path().join("multi-node/web.sock");
            let path = path.to_str().expect("a path in UTF-8");
            let Some((code, text)) = place.says(&["run", "--control", path, "-n", "1", "--", "true"]).await else {
                continue;
            };
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains("cannot open the control socket") && text.contains(path), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_control_socket_is_where_it_was_asked_for_or_nowhere() {
    if !needs::program("python3") {
        return;
    }
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("steer.sock");
        let path = path.to_str().expect("a path in UTF-8");
        let start = |control: &str| {
            let args = ["run", "--name", "web", "--control", control, "-n", "1", "--bind", "127.0.0.1:0", "--"];
            let mut command = multi_node(&[&args[..], &["python3", &app("plain.py")]].concat());
            command.env("XDG_RUNTIME_DIR", folder.path()).stdout(Stdio::null());
            Running::of(command)
        };
        let asks = async |args: &[&str]| {
            let mut command = multi_node(args);
            command.env("XDG_RUNTIME_DIR", folder.path()).output().await.expect("it starts")
        };
        let mut running = start(path);
        running.ready(1).await;
        let status = asks(&["status", "--socket", path, "--json"]).await;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
        assert_eq!(status["name"], "web");
        start(path).logged("another program listens there").await;
        assert_eq!(running.stop().await, Some(0));
        assert!(!Path::new(path).exists());

        let mut running = start("off");
        running.ready(1).await;
        assert!(!folder.path().join("multi-node").exists(), "nothing is written");
        let status = asks(&["status"]).await;
        let text = String::from_utf8_lossy(&status.stderr);
        assert!(status.status.code() == Some(4) && text.contains("--control off"), "{text}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
