//! Wrong arguments, and output that cannot be written: each case ends with a sentence and an exit code.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Output, Stdio};

use multi_node_it::{needs, within};
use rustix::fs::{Mode, mkfifoat};
use tokio::process::Command;

use crate::command::{Running, multi_node};
use crate::run_steered::Place;

fn complains(output: &Output, code: i32, complaint: &str, of: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.contains(complaint)), (Some(code), true), "{of}: {error}");
    assert!(!error.contains("os error") && !error.contains("panicked"), "{of}: {error}");
}

#[tokio::test]
async fn what_cannot_be_run_is_said_with_an_exit_code() {
    let place = Place::new();
    let long = format!("unix:/tmp/{}", "x".repeat(120));
    let cases: [(&[&str], i32, &str); 33] = [
        (&["run", "--", "no-such-program"], 127, "there is no such program"),
        (
            &["run", "--", "/etc/passwd"],
            126,
            "cannot run `/etc/passwd`: not an executable file; if it is a script, name",
        ),
        (&["run"], 2, "no program is named"),
        (&["run", "--ready-http", "/", "--", "true"], 2, "{node_port}"),
        (&["run", "-n", "-1", "--", "true"], 2, "expected a number of nodes, or `auto`"),
        (&["run", "-n", "0", "--", "true"], 2, "`--nodes` \"0\" is not allowed; expected at least 1"),
        (&["run", "-n", "100000", "--", "true"], 2, "`--nodes` \"100000\" is not allowed; allowed are 0 to 256"),
        (&["run", "--port", "70000", "--", "true"], 2, "70000 is not in 0..=65535"),
        (&["run", "--port", "-1", "--", "true"], 2, "invalid value '-1' for '--port"),
        (&["run", "--surge", "-1", "--", "true"], 2, "invalid value '-1' for '--surge"),
        (&["run", "--max-nodes", "0", "--", "true"], 2, "`--max-nodes` \"0\" is not allowed; allowed are 1 to 4096"),
        (&["run", "--max-memory", "much", "--", "true"], 2, "expected a size with its unit, such as 512MiB"),
        (
            &["run", "--canary", "1s", "--canary-margin", "2", "--", "true"],
            2,
            "`--canary-margin` \"2\" is not allowed; allowed are 0 to 1",
        ),
        (&["run", "--affinity", "sid", "--", "node", "a.js"], 2, "expected cookie=NAME, query=NAME, header=NAME"),
        (
            &["run", "--affinity", "cookie=sid", "--", "true"],
            2,
            "`--affinity` \"cookie=sid\" is not allowed; only Node.js",
        ),
        (&["run", "--crash-loop", "0", "--", "true"], 2, "`--crash-loop` \"0\" is not allowed"),
        (&["run", "--drain-timeout", "5", "--", "true"], 2, "expected a time with its unit"),
        (&["run", "--bind", "nonsense", "--", "true"], 2, "`--bind` \"nonsense\" is not allowed; expected `127.0.0.1"),
        (&["run", "--bind", &long, "--", "true"], 1, "107 bytes are the most; choose a shorter path"),
        (&["run", "--bind", "unix:/no/such/x", "--", "true"], 1, "make the socket's directory first"),
        (&["run", "--metrics", "nonsense", "--", "true"], 2, "`--metrics` \"nonsense\" is not allowed"),
        (&["run", "--name", "a/b", "--", "true"], 2, "`--name` \"a/b\" is not allowed; expected 1 to 64 letters"),
        (&["run", "--ready-fd", "1", "--", "true"], 2, "`--ready-fd` \"1\" is not allowed; expected 3 to 1000"),
        (
            &["run", "--join", "nats://bus-1", "--", "true"],
            2,
            "`nats://` is not encrypted; say `tls://`, or allow it by `--insecure-bus`",
        ),
        (&["run", "--join", "http://a", "--", "true"], 2, "`http` is not supported; expected `nats://HOST:PORT`"),
        (&["run", "--join", "tls://a", "--machine", "a/b", "--", "true"], 2, "\"a/b\" is no name of a machine"),
        (&["run", "--machine", "b", "--", "true"], 2, "`--machine` \"b\" is not allowed; it needs `--join`"),
        (&["run", "--nodse", "4"], 2, "a similar argument exists: '--nodes'"),
        (&["restart", "-1"], 2, "invalid value '-1' for '<SLOT>'"),
        (&["man", "rnu"], 2, "there is no command `rnu`"),
        (&["status", "--socket", "/etc/passwd"], 4, "no program has opened the control socket /etc/passwd"),
        (&["status", "--socket", &long], 1, "path must be shorter"),
        (&["staus"], 2, "a similar subcommand exists: 'status'"),
    ];
    for (args, code, text) in cases {
        let output = place.command(args).output().await.expect("the command starts");
        complains(&output, code, text, &format!("{args:?}"));
    }
}

#[tokio::test]
async fn a_file_of_settings_that_is_none_is_refused() {
    let place = Place::new();
    let file = place.path().join("multi-node.toml");
    let refused = async |args: &[&str], complaint: &str| {
        let mut command = place.command(&[&["run"], args, &["--", "true"]].concat());
        let output = command.current_dir(place.path()).output().await.expect("the command starts");
        complains(&output, 2, complaint, complaint);
    };
    refused(&["--config", "other.toml"], "cannot read other.toml: no such file or directory").await;
    refused(&["--config", "/dev/zero"], "it is no regular file").await;

    fs::create_dir(&file).expect("made");
    refused(&[], "cannot read multi-node.toml: it is no regular file").await;
    fs::remove_dir(&file).expect("ours");
    mkfifoat(rustix::fs::CWD, &file, Mode::RUSR | Mode::WUSR).expect("made");
    refused(&[], "it is no regular file, which a reload could read again").await;
    fs::remove_file(&file).expect("ours");

    let cases: [(&[u8], &str); 5] = [
        (&[b'#'; 2 << 20], "it is longer than 1048576 bytes"),
        (b"port = 1\nname = \"\xff\"\n", "line 2 is no UTF-8"),
        (b"prot = 8080", "there is no setting `prot`; did you mean `port`?"),
        (b"port = 'eighty'", "expected a whole number from 0 to 65535"),
        (b"nodes = -2", "expected a number of nodes, or `auto`"),
    ];
    for (content, complaint) in cases {
        fs::write(&file, content).expect("ours");
        refused(&[], complaint).await;
    }
}

#[tokio::test]
async fn a_file_of_settings_that_may_not_be_read_is_refused() {
    let place = Place::new();
    let file = place.path().join("multi-node.toml");
    fs::write(&file, "port = 1").expect("ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("ours");
    let mut command = Command::new(place.copy());
    if rustix::process::geteuid().is_root() {
        const NOBODY: u32 = 65_534;
        command.uid(NOBODY).gid(NOBODY); // root may read any file
    }
    let output = command.args(["run", "--", "true"]).current_dir(place.path()).output().await;
    let complaint = "cannot read multi-node.toml: permission denied";
    complains(&output.expect("the command starts"), 2, complaint, complaint);
}

/// The complaint of one who runs something with this as the session's directory, and of one who looks for it.
async fn with_directory(directory: &Path, complaint: &str) {
    for (args, ends) in [(&["run", "--name", "web", "--", "true"][..], true), (&["list"], false), (&["status"], false)]
    {
        let output = multi_node(args).env("XDG_RUNTIME_DIR", directory).output().await.expect("the command starts");
        complains(&output, 1, complaint, &format!("{args:?}"));
        let error = String::from_utf8_lossy(&output.stderr);
        let path = directory.join("multi-node").display().to_string();
        assert!(error.contains(&path) && (!ends || error.contains("set XDG_RUNTIME_DIR to one")), "{args:?}: {error}");
    }
}

#[tokio::test]
async fn a_runtime_directory_that_is_not_ours_alone_is_refused() {
    let place = Place::new();
    let directory = place.path().join("multi-node");
    fs::write(&directory, "").expect("ours");
    with_directory(place.path(), "the runtime directory is no directory").await;
    fs::remove_file(&directory).expect("ours");
    fs::create_dir(&directory).expect("ours");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("ours");
    with_directory(place.path(), "the runtime directory can be written to by others").await;
    place.fails(&["status", "--name", "web"], 1, "can be written to by others").await;

    let long = place.path().join("d".repeat(90));
    fs::DirBuilder::new().mode(0o700).create(&long).expect("ours");
    let mut run = multi_node(&["run", "--name", "web", "--", "true"]);
    let output = run.env("XDG_RUNTIME_DIR", long).output().await.expect("the command starts");
    complains(&output, 1, "107 bytes are the most; choose a shorter name, or a shorter XDG_RUNTIME_DIR", "a long path");
}

#[tokio::test]
async fn a_runtime_directory_of_another_user_is_refused() {
    if needs::root("give a directory away") {
        let place = Place::new();
        let directory = place.path().join("multi-node");
        fs::DirBuilder::new().mode(0o700).create(&directory).expect("ours");
        std::os::unix::fs::chown(&directory, Some(65_534), None).expect("root may");
        with_directory(place.path(), "the runtime directory belongs to another user").await;
    }
}

/// Runs a command whose standard output goes there.
async fn written_to(stdout: Stdio, mut command: Command) -> Output {
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().expect("the command starts");
    child.wait_with_output().await.expect("it ends")
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_a_reader_who_leaves_is_none() {
    within(30, async {
        let place = Place::new();
        let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").expect("it is there"));
        let args = ["run", "--name", "web", "-n", "1", "--ready-after", "0s", "--", "sh", "-c"];
        let mut command = place.command(&[&args[..], &["while echo word; do sleep 0.01; done"]].concat());
        command.stdout(full());
        let mut running = Running::of(command);
        running.ready(1).await;
        let cases: [&[&str]; 6] = [
            &["status", "--json"],
            &["list"],
            &["logs"],
            &["reload", "--wait", "--json"],
            &["man"],
            &["completions", "bash"],
        ];
        for args in cases {
            let output = written_to(full(), place.command(args)).await;
            complains(&output, 1, "cannot write to standard output: no space left on device", &format!("{args:?}"));
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            let output = written_to(writer.into(), place.command(args)).await;
            assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{args:?}");
        }
        let status = place.json(&["status"]).await;
        assert_eq!(
            (&status["ready"], &status["slots"][0]["restarts"]),
            (&true.into(), &0.into()),
            "what the node writes can be written nowhere, and it serves on"
        );
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn as_many_nodes_are_started_as_there_are_cores_for_it_and_no_more_than_is_allowed() {
    if !needs::program("taskset") {
        return;
    }
    within(30, async {
        let place = Place::new();
        let mut command = Command::new("taskset");
        command.args(["1", env!("CARGO_BIN_EXE_multi-node"), "run", "--name", "web", "-n", "auto", "--max-nodes", "2"]);
        command.args(["--ready-after", "0s", "--", "sleep", "1000"]).env("XDG_RUNTIME_DIR", place.path());
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null());
        let mut running = Running::of(command);
        running.ready(1).await;
        assert_eq!(place.json(&["status"]).await["wanted"], 1);
        assert_eq!(place.prints(&["scale", "+1"]).await, "scaled from 1 to 2 nodes\n");
        let most = "cannot scale to 3 nodes: allowed are 1 to 2; `max_nodes` (`--max-nodes`) allows more";
        place.fails(&["scale", "+1"], 3, most).await;
        place.fails(&["scale", "0"], 3, "to end the program, shut it down (`multi-node stop`)").await;
        place.fails(&["restart", "99"], 4, "there is no slot 99: the program has 2 slots").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
