//! The count of lost requests, as a short run.

#![allow(missing_docs)]

use std::process::Command;

use serde_json::Value;

#[test]
fn nothing_is_lost() {
    let results = tempfile::tempdir().expect("a temporary folder");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_multi-node-bench"));
    bench.args(["loss", "--quick", "--json", "--only", "multi-node"]).arg("--results").arg(results.path());
    let output = bench.output().expect("it starts");
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaints}\n{said}");
    let servers: Value = serde_json::from_str(&said).expect("JSON");
    let phases: Vec<&Value> = servers[0]["rows"].as_array().expect("rows").iter().map(|row| &row["phase"]).collect();
    assert_eq!(phases, ["recycles", "calm", "deploys", "broken deploy", "upgrades", "kills"]);
    for row in servers[0]["rows"].as_array().expect("rows") {
        assert!(row["answered"].as_u64() > Some(0), "{row}");
    }
}
