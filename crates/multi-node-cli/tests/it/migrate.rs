//! `multi-node migrate`, and what becomes of its files.

use std::path::Path;

use multi_node_it::{needs, within};
use serde_json::json;

use crate::command::{Running, json_of, multi_node, output};

const ECOSYSTEM: &str = r#"
console.log("the file may print");
module.exports = {
  apps: [
    {
      name: "web", script: "./server.js", instances: 2, exec_mode: "cluster", kill_timeout: 5000, watch: false,
      env: { PORT: 0, MODE: "test" }, env_production: { MODE: "production" }, cron_restart: "0 3 * * *",
    },
    { script: "job.py", args: "--every 5m" },
  ],
  deploy: {},
};
"#;

const SERVER: &str = r#"
require("node:http").createServer((request, response) => {
  response.end(`${process.env.MODE} ${process.env.NODE_APP_INSTANCE}`);
}).listen(Number(process.env.PORT), "127.0.0.1");
"#;

fn folder(ecosystem: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ecosystem.config.js"), ecosystem).expect("written");
    std::fs::write(folder.path().join("server.js"), SERVER).expect("written");
    folder
}

async fn migrate(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = multi_node(&[&["migrate", "pm2", "ecosystem.config.js"], args].concat());
    let output = command.current_dir(folder).output().await.expect("the command starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn apps_of_pm2_serve() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let folder = folder(ECOSYSTEM);
        let (code, text) = migrate(folder.path(), &["--env", "production", "--to", "."]).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("web.toml\n  not translated: cron_restart: 0 3 * * *"), "{text}");
        assert!(text.contains("job.toml\n") && !text.contains("watch"), "{text}");
        let mut command = multi_node(&["run", "--name", "web", "--config", "web.toml"]);
        command.current_dir(folder.path()).env("XDG_RUNTIME_DIR", folder.path());
        let mut running = Running::of(command);
        running.ready(2).await;
        let socket = folder.path().join("multi-node/web.sock");
        let described = json_of(&["describe", "--socket", socket.to_str().expect("UTF-8")]).await;
        let drain = described["options"].as_array().and_then(|options| {
            options.iter().find(|option| option["name"] == "drain-timeout").map(|option| option["value"].clone())
        });
        assert_eq!(drain, Some(json!("5s")), "{described}");
        assert_eq!(running.stop().await, Some(0));
        let (code, text) = migrate(folder.path(), &["--to", "."]).await;
        assert_eq!((code, text.contains("web.toml: file exists")), (Some(1), true), "no file is written over: {text}");
    })
    .await;
}

#[tokio::test]
async fn all_is_printed_without_a_folder() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let folder = folder(ECOSYSTEM);
        let (code, text) = migrate(folder.path(), &[]).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.starts_with("# web.toml\n") && text.contains("\n# job.toml\n"), "{text}");
        let lists = text.lines().filter(|line| line.starts_with("program = ")).collect::<Vec<_>>();
        assert!(lists[0].starts_with("program = [\"node\", \"/") && lists[0].ends_with("/server.js\"]"), "{lists:?}");
    })
    .await;
}

#[tokio::test]
async fn files_that_are_none_are_refused() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        for (ecosystem, complaint) in [
            ("throw new Error('not today')", "not today"),
            ("module.exports = { apps: [{ name: 'web' }] }", "describes no app"),
            ("module.exports = undefined", "describes no app"),
            ("module.exports = {", "SyntaxError"),
        ] {
            let folder = folder(ecosystem);
            let (code, text) = migrate(folder.path(), &[]).await;
            assert_eq!((code, text.contains(complaint)), (Some(1), true), "{ecosystem}: {text}");
        }
        let output = output(&["migrate", "pm2", "nowhere.js"]).await;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains("cannot read nowhere.js: no such file"), "{complaint}");
    })
    .await;
}
