//! Clients of others, and programs that cannot begin.

use std::process::{Command, Stdio};
use std::time::Duration;

use multi_node_it::program::fixture;
use multi_node_it::{HttpPlan, Plan, Program, needs, within};
use tokio::io::AsyncWriteExt;

use super::authority::Authority;

/// What curl says for the server's address, with these arguments.
fn curl(authority: &Authority, program: &Program, arguments: &[&str]) -> String {
    let url = format!("https://localhost:{}/who", program.addr.port());
    let resolve = format!("localhost:{}:127.0.0.1", program.addr.port());
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "10", "--resolve", &resolve, "--cacert"]);
    let output = command.arg(authority.path("ca.pem")).args(arguments).arg(url).output().expect("curl runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn curl_is_answered_over_both_protocols_and_versions() {
    within(30, async {
        let authority = Authority::new();
        let program = authority.serving(2).await;
        for (arguments, version) in [
            (&["--http2"][..], "HTTP/2.0"),
            (&["--http1.1"], "HTTP/1.1"),
            (&["--http1.1", "--tls-max", "1.2"], "HTTP/1.1"),
            (&["--http2", "--tlsv1.3"], "HTTP/2.0"),
        ] {
            let said = curl(&authority, &program, arguments);
            assert!(said.contains(version), "{arguments:?}: {said}");
        }
        let plain = program.get("/who").await;
        assert!(plain.is_err(), "there is no answer without TLS: {plain:?}");
        program.stop().await;
    })
    .await;
}

/// What `openssl s_client` says that gets this input, until the server closes the connection.
async fn s_client(authority: &Authority, program: &Program, version: &str, input: &[u8]) -> String {
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_client", version, "-servername", "localhost", "-connect", &program.addr.to_string(), "-CAfile"]);
    command.arg(authority.path("ca.pem")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.kill_on_drop(true).spawn().expect("openssl runs");
    // The end of its input would be the end of the connection.
    let mut stdin = process.stdin.take().expect("piped");
    stdin.write_all(input).await.expect("it reads");
    let output = process.wait_with_output().await.expect("it ends");
    drop(stdin);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn openssl_can_neither_renegotiate_nor_send_early_data() {
    if !needs::program("openssl") {
        return;
    }
    within(30, async {
        let authority = Authority::new();
        let second = Duration::from_secs(1);
        let http = HttpPlan { header_timeout: second, keep_alive_timeout: second, ..HttpPlan::default() };
        let program = Program::serving(Plan { http, ..authority.plan(1) }).await;
        // A line that begins with R asks for it.
        let said = s_client(&authority, &program, "-tls1_2", b"R\n").await;
        assert!(said.contains("Verify return code: 0 (ok)") && said.contains("RENEGOTIATING"), "{said}");
        assert!(said.contains("no renegotiation"), "{said}");
        let said = s_client(&authority, &program, "-tls1_3", b"").await;
        let tickets = said.matches("New Session Ticket arrived").count();
        assert!(tickets > 0 && said.matches("Max Early Data: 0\n").count() == tickets, "{said}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_process_that_serves_alone_has_tls_too() {
    within(30, async {
        let authority = Authority::new();
        let mut program = authority.serving(0).await;
        assert!(curl(&authority, &program, &["--http2"]).contains("HTTP/2.0"));
        authority.issue("another");
        program.status_where(|status| status.certificates[0].names.contains(&"another".to_owned())).await;
        assert!(curl(&authority, &program, &[]).contains("HTTP/"));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_master_that_serves_has_tls_too() {
    within(30, async {
        let authority = Authority::new();
        let program = Program::serving(Plan { master_listen: true, ..authority.plan(1) }).await;
        // Some of many connections reach the master.
        loop {
            let said = curl(&authority, &program, &["--http1.1"]);
            assert!(said.contains("HTTP/1.1"), "{said}");
            if said.contains("\"master\"") {
                break;
            }
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_program_with_a_bad_pair_does_not_begin() {
    within(30, async {
        let authority = Authority::new();
        let (_, other) = authority.make("other");
        authority.put("key.pem", &other);
        let mut program = Program::launch(&fixture(), authority.plan(1), |_| {});
        assert_eq!(program.exit().await, Some(1));
        let log = program.log();
        assert!(log.contains("does not belong to the first certificate in"), "{log}");
        assert!(log.contains("key.pem") && log.contains("cert.pem"), "{log}");
        assert!(!log.contains("BEGIN"), "a key is in the log: {log}");
    })
    .await;
}
