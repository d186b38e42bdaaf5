//! The count of lost requests, as a short run.

#![allow(missing_docs)]

use std::process::Command;

use serde_json::Value;

#[test]
fn a_deploy_and_an_upgrade_lose_nothing() {
    let results = tempfile::tempdir().expect("a temporary folder");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_multi-node-bench"));
    bench.args(["loss", "--quick", "--json", "--ours", "--only", "Rust"]).arg("--results").arg(results.path());
    let output = bench.output().expect("it starts");
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaints}\n{said}");
    let servers: Value = serde_json::from_str(&said).expect("JSON");
    let servers = servers.as_array().expect("rows");
    assert_eq!(servers.len(), 2, "{said}");
    for server in servers {
        for clients in ["http", "half_closing"] {
            assert!(server[clients]["answered"].as_u64() > Some(0), "{clients}: {server}");
        }
        for clients in ["http", "half_closing", "websockets"] {
            assert_eq!(server[clients]["lost"], 0, "{clients}: {server}");
        }
    }
}
