//! Misbehaving programs and people: each case ends with a sentence and an exit code.

use std::process::Stdio;
use std::time::Duration;

use multi_node_it::{client, needs, port, procfs, within};
use rustix::process::Signal;

use crate::command::{self, Running, multi_node, output, pids};

/// Runs to the end, which is a failure; the log.
async fn fails(args: &[&str]) -> String {
    let mut running = Running::start(args);
    assert_eq!(running.exit().await, Some(1), "{args:?}");
    running.seen.join("\n")
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_given_up_with_its_exit_code() {
    within(30, async {
        let log = fails(&["-n", "1", "--", "sh", "-c", "exit 7"]).await;
        assert!(log.contains("no node is left: node-5 in slot 0 ended with exit code 7 while initializing"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_goes_into_the_background_is_told_to_stay() {
    within(30, async {
        let log = fails(&["-n", "1", "--", "sh", "-c", "sleep 1000 & exit 0"]).await;
        assert!(log.contains("has to be told to stay in the foreground"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_loses_its_interpreter_is_told_with_the_cause() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/no/such/interpreter\n").expect("written");
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
        let log = fails(&["-n", "1", "--", script.to_str().expect("UTF-8")]).await;
        assert!(log.contains("cannot execute") && log.contains("no such file or directory"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_closes_its_sockets_harms_nobody_else() {
    if !needs::program("python3") {
        return;
    }
    within(30, async {
        let app = format!("{}/tests/apps/closes.py", env!("CARGO_MANIFEST_DIR"));
        let args = [
            "-n",
            "2",
            "--ready=age",
            "--ready-after=100ms",
            "-e",
            "SLOT={slot}",
            "--bind",
            "127.0.0.1:0",
            "--",
            "python3",
            &app,
        ];
        let mut running = Running::start(&args);
        let addr = running.addr().await;
        running.ready(2).await;
        assert_eq!(pids(addr, 1).await.len(), 1);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_program_that_ignores_its_stop_signal_is_killed_in_time_with_its_children() {
    within(30, async {
        let script = "trap '' TERM; sleep 1000 & echo >&4; wait; wait";
        let options = ["-n", "1", "--ready-fd", "4", "--ready-after", "1h", "--drain-timeout", "300ms"];
        let mut running = Running::start(&[&options[..], &["--", "sh", "-c", script]].concat());
        running.ready(1).await;
        let node = procfs::children(running.pid())[0];
        let family = [procfs::children(node), vec![node]].concat();
        running.signal(Signal::TERM);
        running.logged("killing it: it had not drained within 300 ms").await;
        assert_eq!(running.exit().await, Some(0));
        while family.iter().any(|pid| procfs::is_alive(*pid)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_or_a_name_in_use_is_said() {
    within(30, async {
        let name = format!("taken-by-test-{}", std::process::id());
        let mut first =
            multi_node(&["run", "-n", "1", "--bind", "127.0.0.1:0", "--name", &name, "--", "sleep", "1000"]);
        first.stdout(Stdio::null());
        let mut running = Running::of(first);
        let addr = running.addr().await.to_string();
        let second = command::run(&["--bind", &addr, "--", "sleep", "1000"]).output().await.expect("it starts");
        let error = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{error}");
        assert!(error.contains("address already in use; another program has this port"), "{error}");
        let third = output(&["run", "--name", &name, "--", "sleep", "1000"]).await;
        let error = String::from_utf8_lossy(&third.stderr).into_owned();
        assert!(error.contains(&format!("another program runs under the name {name:?}")), "{error}");
        assert_eq!(third.status.code(), Some(1), "{error}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn mistakes_in_the_file_and_npm_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_folder = |args: &[&str]| {
        let mut command = multi_node(args);
        command.current_dir(folder.path());
        command
    };
    std::fs::write(folder.path().join("package.json"), r#"{"scripts": {"start": "node server.js"}}"#).expect("written");
    let npm = in_folder(&["run", "--", "npm", "start"]).output().await.expect("it starts");
    assert_eq!(npm.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&npm.stderr).contains("package.json runs: node server.js"));

    std::fs::write(folder.path().join("multi-node.toml"), "prot = 8080").expect("written");
    let typo = in_folder(&["run", "--", "sleep", "1"]).output().await.expect("it starts");
    assert_eq!(typo.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&typo.stderr).contains("did you mean `port`?"));
}

#[tokio::test]
async fn a_reload_reads_the_file_again_and_a_mistake_in_it_changes_nothing() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("multi-node.toml");
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        write("program = ['sleep', '1001']");
        let config = file.to_str().expect("UTF-8");
        let mut running = Running::start(&["-n", "1", "--ready-after", "50ms", "--config", config]);
        running.ready(1).await;
        let arguments = |running: &Running| {
            let node = procfs::children(running.pid())[0];
            std::fs::read_to_string(format!("/proc/{node}/cmdline")).expect("it runs")
        };
        assert_eq!(arguments(&running), "sleep\x001001\x00");

        write("program = 'sleep'");
        running.signal(Signal::HUP);
        running.logged("the command was not carried out").await;
        let refused = running.command(&["reload", "--wait"]).await;
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains("expected a list, such as [\"gunicorn\""), "{error}");
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert_eq!(arguments(&running), "sleep\x001001\x00");

        write("program = ['sleep', '1002']");
        running.signal(Signal::HUP);
        running.logged("reload done").await;
        assert_eq!(arguments(&running), "sleep\x001002\x00");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn the_environment_is_that_of_systemd_if_that_is_wanted() {
    if !needs::program("systemd-socket-activate") {
        return;
    }
    within(30, async {
        let wanted = |text: &str| {
            let mut lines: Vec<_> = text
                .lines()
                .filter(|line| VARIABLES.iter().any(|name| line.starts_with(name)))
                .map(str::to_owned)
                .collect();
            lines
                .iter_mut()
                .filter(|line| line.starts_with("LISTEN_PID="))
                .for_each(|line| "LISTEN_PID".clone_into(line));
            lines.sort();
            lines
        };
        let port = port::Held::new().expect("a port");
        let addr = port.addr();
        let activated = tokio::process::Command::new("systemd-socket-activate")
            .args(["-l", &addr.to_string(), "--fdname", "web", "env"])
            .output();
        let asks = async {
            while client::get(addr, "/").await.is_err_and(|error| error.to_string() == "connect") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let theirs = tokio::select! {
            output = activated => output.expect("it starts"),
            () = async { asks.await; std::future::pending().await } => unreachable!("it waits for ever"),
        };
        let mut ours =
            command::run(&["-n", "1", "--sockets", "systemd", "--fdname", "web", "--bind", "127.0.0.1:0", "--", "env"]);
        let ours = ours.output().await.expect("it starts");
        let first = String::from_utf8_lossy(&ours.stdout).into_owned();
        let mut ours = wanted(&first);
        ours.dedup();
        assert_eq!(ours, wanted(&String::from_utf8_lossy(&theirs.stdout)));
    })
    .await;
}

/// What either may set.
const VARIABLES: [&str; 5] = ["LISTEN_", "NOTIFY_SOCKET=", "WATCHDOG_", "SERVER_STARTER", "NODE_CHANNEL"];
