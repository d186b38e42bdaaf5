//! The file of PM2: JavaScript that exports its apps, or JSON.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value};
use tokio::process::Command;

/// How long the file may take to say what it exports.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints what a file exports as the last line, since the file itself may print.
const EXPORTED: &str = "import(require('node:url').pathToFileURL(process.argv[1])) \
    .then((exported) => console.log('\\n' + JSON.stringify(exported.default ?? exported))) \
    .catch((error) => { console.error(String(error)); process.exit(1); })";

/// An app of the file, as it describes it.
pub(crate) type App = Map<String, Value>;

/// The apps that the file describes. JavaScript is run by `node`.
pub(crate) async fn read(file: &Path) -> Result<Vec<App>> {
    let named = || format!("cannot read {}", file.display());
    let path = file.canonicalize().with_context(named)?;
    let exported = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => serde_json::from_str(&std::fs::read_to_string(&path)?).with_context(named)?,
        Some("js" | "cjs" | "mjs") => run(&path).await.with_context(named)?,
        _ => return Err(anyhow!("{}: expected a file of JavaScript or JSON (.js, .cjs, .mjs, .json)", file.display())),
    };
    let apps = apps(exported);
    match apps.is_empty() {
        true => Err(anyhow!("{} describes no app: there is none with a `script`", file.display())),
        false => Ok(apps),
    }
}

async fn run(path: &Path) -> Result<Value> {
    let mut node = Command::new("node");
    node.args(["-e", EXPORTED]).arg(path).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, node.output()).await;
    let output = output.map_err(|_| anyhow!("node has not read it within {} s", PATIENCE.as_secs()))?;
    let output = output.context("node, which reads it, cannot be run")?;
    if !output.status.success() {
        return Err(anyhow!("{}", last_line(&output.stderr)));
    }
    serde_json::from_str(&last_line(&output.stdout)).context("what it exports is no data")
}

fn last_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim_end().lines().last().unwrap_or_default().to_owned()
}

/// `{ apps: [...] }`, a list of apps, or one app.
fn apps(exported: Value) -> Vec<App> {
    let exported = match exported {
        Value::Object(mut file) if file.contains_key("apps") => file.remove("apps").unwrap_or_default(),
        other => other,
    };
    let apps = match exported {
        Value::Array(apps) => apps,
        app => vec![app],
    };
    let is_app = |app: &App| ["script", "exec"].iter().any(|key| app.contains_key(*key));
    apps.into_iter()
        .filter_map(|app| if let Value::Object(app) = app { Some(app) } else { None })
        .filter(is_app)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn apps_are_found_in_each_form_of_file() {
        let app = json!({ "script": "app.js" });
        for exported in [json!({ "apps": [app] }), json!([app]), app.clone(), json!({ "apps": app, "deploy": {} })] {
            assert_eq!(apps(exported.clone()).len(), 1, "{exported}");
        }
        for nothing in [json!({}), json!([]), json!(null), json!({ "apps": [1, { "name": "web" }] })] {
            assert_eq!(apps(nothing.clone()).len(), 0, "{nothing}");
        }
    }
}
