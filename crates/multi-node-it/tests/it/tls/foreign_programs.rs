//! A scanner of others looks for what is known to be wrong with servers of TLS. `make test-foreign` fetches it.

use multi_node_it::{Program, needs, within};
use serde_json::{Value, json};
use tokio::process::Command;

use super::authority::Authority;

/// What is scanned: its option, the name of its result, and what that has to hold.
fn scans() -> [(&'static str, &'static str, Value); 11] {
    let none = || json!({ "accepted_cipher_suites": [] });
    [
        ("--sslv2", "ssl_2_0_cipher_suites", none()),
        ("--sslv3", "ssl_3_0_cipher_suites", none()),
        ("--tlsv1", "tls_1_0_cipher_suites", none()),
        ("--tlsv1_1", "tls_1_1_cipher_suites", none()),
        ("--compression", "tls_compression", json!({ "supports_compression": false })),
        ("--early_data", "tls_1_3_early_data", json!({ "supports_early_data": false })),
        ("--heartbleed", "heartbleed", json!({ "is_vulnerable_to_heartbleed": false })),
        ("--openssl_ccs", "openssl_ccs_injection", json!({ "is_vulnerable_to_ccs_injection": false })),
        ("--robot", "robot", json!({ "robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED" })),
        (
            "--reneg",
            "session_renegotiation",
            json!({ "is_vulnerable_to_client_renegotiation_dos": false, "client_renegotiations_success_count": 0 }),
        ),
        (
            "--resum",
            "session_resumption",
            // It takes a session for a new one whose ticket was renewed, as each is here.
            json!({ "session_id_resumption_result": "NOT_SUPPORTED" }),
        ),
    ]
}

/// What the scanner has found, by the names of its results.
async fn scan(sslyze: &str, program: &Program, authority: &Authority) -> Value {
    let json = authority.path("scan.json");
    let options = scans().map(|(option, ..)| option);
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", sslyze).args(["-m", "sslyze", "--quiet", "--mozilla_config=disable", "--json_out"]);
    python.arg(&json).args(options).arg(format!("localhost:{}", program.addr.port()));
    let output = python.output().await.expect("it runs");
    let text = std::fs::read_to_string(json);
    let text = text.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let mut found: Value = serde_json::from_str(&text).expect("JSON");
    found["server_scan_results"][0]["scan_result"].take()
}

#[tokio::test]
async fn sslyze_finds_no_known_weakness_before_and_after_a_reload() {
    let Some(sslyze) = needs::server("sslyze").filter(|_| needs::program("python3")) else { return };
    within(100, async {
        let authority = Authority::new();
        let mut program = authority.serving(2).await;
        for _ in 0..2 {
            let found = scan(&sslyze, &program, &authority).await;
            for (_, name, expected) in scans() {
                for (key, value) in expected.as_object().expect("a record") {
                    assert_eq!(&found[name]["result"][key], value, "{name}: {}", found[name]);
                }
            }
            let answer = program.command("reload").await;
            assert!(answer["Ok"].is_object(), "{answer}");
        }
        program.stop().await;
    })
    .await;
}
