//! Where /proc does not let the command look at its nodes.

use std::process::Stdio;

use multi_node_it::{client, needs, within};
use tokio::process::Command;

use crate::command::{Running, run};

/// Becomes what follows, without CAP_SYS_PTRACE.
const BLIND: &str = "exec setpriv --bounding-set=-sys_ptrace \"$@\"";

/// Who may not look at processes of others does not even see them here. Group 1 may, whose number no test has.
const HIDES: &str = "mount -t proc -o hidepid=2,gid=1 proc /proc && ";

/// There is no /proc.
const ABSENT: &str = "mount -t tmpfs tmpfs /proc && exec \"$@\"";

/// Serves the shared socket, and a port of its own if it is given one; says that it is ready where somebody listens.
const SERVES: &str = "\
import http.server, os, socket, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('content-length', '0'); self.end_headers()
if len(sys.argv) > 1:
    own = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
    threading.Thread(target=own.serve_forever, daemon=True).start()
server = http.server.HTTPServer(('', 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
if 'NOTIFY_SOCKET' in os.environ:
    notify = '\\0' + os.environ['NOTIFY_SOCKET'][1:]
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', notify)
server.serve_forever()
";

/// The command of root with these arguments, as this line for sh starts it in a mount namespace.
fn under(line: &str, args: &[&str]) -> Command {
    let own = run(args);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", line, "sh"]).arg(own.as_std().get_program()).args(own.as_std().get_args());
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}

/// What a command logs whose start fails with exit 1.
async fn log_of_failed_start(mut command: Command) -> String {
    let ended = command.stderr(Stdio::piped()).output().await.expect("it starts");
    let log = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{log}");
    log
}

fn can_hide() -> bool {
    needs::root("mount /proc") && needs::unshare(&["--mount"]) && needs::program("setpriv") && needs::program("python3")
}

/// The nodes run as another user.
const NODES: [&str; 8] = ["-n", "1", "--user", "nobody", "--bind", "127.0.0.1:0", "--start-timeout", "20s"];

#[tokio::test]
async fn a_start_that_cannot_be_judged_fails_with_the_reason_and_the_rules_that_say_it() {
    if !can_hide() {
        return;
    }
    within(60, async {
        let hidden = [HIDES, BLIND].concat();
        let cases = [
            (BLIND, "runs as user 65534, and user 0 may not look at it without CAP_SYS_PTRACE"),
            (hidden.as_str(), "(its mount option hidepid)"),
        ];
        for (line, reason) in cases {
            let args = [&NODES[..], &["--", "python3", "-c", SERVES]].concat();
            let log = log_of_failed_start(under(line, &args)).await;
            let last = log.lines().last().unwrap_or_default();
            for part in
                [reason, "cannot be seen whether it waits", "--ready=notify", "--ready-http PATH", "--ready=age"]
            {
                assert!(last.contains(part), "{part}: {log}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nodes_that_are_hidden_serve_by_each_rule_and_are_reloaded() {
    if !can_hide() {
        return;
    }
    within(120, async {
        let hidden = [HIDES, BLIND].concat();
        let rules: [(&[&str], &[&str]); 3] = [
            (&["--ready=notify"], &[]),
            (&["--ready-http", "/"], &["{node_port}"]),
            (&["--ready=age", "--ready-after", "1s"], &[]),
        ];
        for (rule, port) in rules {
            let args = [&NODES[..], rule, &["--settle", "1s", "--", "python3", "-c", SERVES], port].concat();
            let mut running = Running::of(under(&hidden, &args));
            let addr = running.addr().await;
            running.ready(1).await;
            assert_eq!(client::get(addr, "/").await.expect("an answer").status, 200, "{rule:?}");
            let reload = running.command(&["reload", "--wait"]).await;
            assert!(reload.status.success(), "{rule:?}: {reload:?}");
            assert_eq!(client::get(addr, "/").await.expect("an answer").status, 200, "{rule:?}");
            assert_eq!(running.stop().await, Some(0));
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_proc_the_command_says_that_it_is_not_there() {
    if !can_hide() {
        return;
    }
    within(30, async {
        let log = log_of_failed_start(under(ABSENT, &["-n", "1", "--", "sleep", "1000"])).await;
        assert!(log.contains("/proc is not mounted"), "{log}");
    })
    .await;
}
