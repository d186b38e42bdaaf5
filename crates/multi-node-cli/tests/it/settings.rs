//! `multi-node.toml` that changes while it is in force.

use multi_node_it::{needs, within};
use serde_json::{Value, json};

use crate::command::{self, Running, app};

#[tokio::test]
async fn a_reload_names_the_changes_that_it_does_not_apply() {
    if !needs::program("python3") {
        return;
    }
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settings.toml");
        let program = format!("program = ['python3', '{}']\nbind = '127.0.0.1:0'\n", app("plain.py"));
        let write = |settings: &str| std::fs::write(&file, format!("{settings}\n{program}")).expect("a file of ours");
        write("nodes = 1\ndrain-timeout = '20s'");
        let path = file.to_str().expect("UTF-8");
        let mut running = Running::of(command::run(&["--config", path, "--surge", "1"]));
        running.ready(1).await;
        let described: Value = json_of(&running, &["describe"]).await;
        let options = described["options"].as_array().expect("options");
        let option = |name: &str| options.iter().find(|option| option["name"] == name).expect("it is listed");
        assert_eq!(option("drain-timeout"), &json!({ "name": "drain-timeout", "value": "20s", "from": "file" }));
        assert_eq!(option("surge")["from"], "command_line");
        assert_eq!(option("start-timeout"), &json!({ "name": "start-timeout", "value": "1m", "from": "default" }));

        assert_eq!(json_of(&running, &["reload", "--wait"]).await["not_applied"], json!([]));
        write("nodes = 2\ndrain-timeout = '5s'\nready-after = '1s'");
        let report = running.command(&["reload", "--wait"]).await;
        let said = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(report.status.success(), "{report:?}");
        for line in [
            "not applied: drain-timeout: 20s is in force, 5s is wanted; an upgrade applies it",
            "not applied: nodes: 1 is in force, 2 is wanted; `scale` applies it",
        ] {
            assert!(said.lines().any(|said| said == line), "{line} in {said}");
        }
        assert!(!said.contains("ready-after"), "what concerns the program is applied: {said}");
        running.logged("a reload does not apply nodes: 1 is in force, 2 is wanted").await;

        let upgraded = running.command(&["upgrade"]).await;
        assert!(upgraded.status.success(), "{upgraded:?}");
        let described: Value = json_of(&running, &["describe"]).await;
        let text = described.to_string();
        assert!(text.contains(r#"{"from":"file","name":"drain-timeout","value":"5s"}"#), "{text}");
        assert_eq!(json_of(&running, &["reload", "--wait"]).await["not_applied"], json!([]));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

async fn json_of(running: &Running, args: &[&str]) -> Value {
    let output = running.command(&[args, &["--json"]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
