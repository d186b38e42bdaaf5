//! The command binds, and nodes run as somebody else.

use multi_node_it::{client, needs, send, within};
use rustix::process::Signal;

use crate::command::{Running, output, pids};

/// Opens `/dev/stderr` anew, as nginx does, prints its user and group, and serves.
const SERVER: &str = "
import http.server, os, socket
open('/dev/stderr', 'w').write('opened\\n')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        env = os.environ
        caps = [line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapPrm', 'CapAmb'))]
        mask = os.umask(0); os.umask(mask)
        body = f'{os.getresuid()} {os.getresgid()} {os.getgroups()} {set(caps)} {mask:o} {env.get(\"HOME\")} {env.get(\"USER\")} {os.getpid()}'
        self.send_response(200); self.send_header('content-length', str(len(body))); self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args): pass
server = http.server.HTTPServer(('', 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
";

#[tokio::test]
async fn a_port_below_1024_is_served_by_nodes_without_privileges() {
    if !needs::program("python3") || !needs::root("start nodes as another user") {
        return;
    }
    within(60, async {
        let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = (600..1024).find(is_free).expect("a free port below 1024");
        let bind = format!("127.0.0.1:{port}");
        let options = ["-n", "2", "--bind", &bind, "--user", "nobody", "--umask", "027", "-e", "USER=app"];
        let mut running = Running::start(&[&options[..], &["--", "python3", "-c", SERVER]].concat());
        let addr = running.addr().await;
        running.ready(2).await;
        let nobody = "(65534, 65534, 65534) (65534, 65534, 65534) [65534] {'0000000000000000'} 27 /nonexistent app";
        let said = client::get(addr, "/").await.expect("an answer").body;
        assert!(said.starts_with(nobody), "{said}");

        let before = pids(addr, 2).await;
        running.signal(Signal::HUP);
        running.logged("reload done").await;
        send(pids(addr, 2).await[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        let after = pids(addr, 2).await;
        assert!(after.iter().all(|pid| !before.contains(pid)), "a reload replaces every node");
        let said = client::get(addr, "/").await.expect("an answer").body;
        assert!(said.starts_with(nobody), "{said}");
        let logs = running.command(&["logs"]).await;
        assert!(String::from_utf8_lossy(&logs.stdout).contains("opened"), "what belongs to the user opens: {logs:?}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn an_unknown_user_is_a_mistake() {
    let output = output(&["run", "--port", "0", "--user", "nobody-of-that-name", "--", "sleep", "1"]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("there is no such user"), "{output:?}");
    assert!(!error.contains("listening"), "{error}");
}
