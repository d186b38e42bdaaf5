use serde_json::json;

use super::*;
use crate::settings::Settings;

fn translated(app: Value, wanted: Option<&str>) -> Translated {
    let Value::Object(app) = app else { panic!("an object") };
    translate(&app, Path::new("/srv/web"), wanted)
}

/// The text, which has to be one that `run` reads.
fn text_of(app: Value) -> String {
    let text = translated(app, None).text();
    let settings = Settings::from_toml(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(settings.options().is_ok(), "{text}");
    text
}

#[test]
fn what_an_app_says_becomes_settings() {
    let text = text_of(json!({
        "name": "web", "script": "./server.js", "args": "--fast 'two words'", "node_args": ["--max-old-space-size=300"],
        "instances": 4, "exec_mode": "cluster", "max_memory_restart": "300M", "kill_timeout": 5000, "listen_timeout": "10s",
        "wait_ready": true, "autorestart": false, "max_restarts": 10, "restart_delay": 250, "uid": "www-data",
        "env": { "PORT": 8080, "MODE": "x" }, "env_production": { "MODE": "production" }, "log_type": "json",
    }));
    for line in [
        "name = \"web\"",
        "nodes = 4",
        "program = [\"node\", \"--max-old-space-size=300\", \"/srv/web/server.js\", \"--fast\", \"two words\"]",
        "max-memory = \"300MiB\"",
        "drain-timeout = \"5000ms\"",
        "start-timeout = \"10s\"",
        "ready = \"notify\"",
        "restart = false",
        "crash-loop = 10",
        "backoff = \"250ms\"",
        "stop-signal = \"SIGINT\"",
        "user = \"www-data\"",
        "log-format = \"json\"",
        "PORT = \"8080\"",
        "MODE = \"x\"",
        "NODE_APP_INSTANCE = \"{slot}\"",
        "# Not translated: env_production: another environment; translate it by `--env production`",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is missing: {text}");
    }
}

#[test]
fn the_environment_that_is_wanted_wins() {
    let app = json!({ "script": "a.js", "env": { "A": "1", "B": "1" }, "env_staging": { "A": "2" } });
    let translated = translated(app, Some("staging"));
    assert_eq!((translated.env["A"].as_str(), translated.env["B"].as_str()), (Some("2"), Some("1")));
    assert_eq!(translated.left_out, Vec::<String>::new());
}

#[test]
fn what_has_no_counterpart_is_said() {
    let app = json!({
        "script": "a.js", "instances": -1, "cron_restart": "0 3 * * *", "watch": ["src"], "cwd": "/srv", "out_file": "/var/log/a",
        "exec_mode": "fork", "kill_timeout": "soon", "min_uptime": "5s", "pmx": true, "treekill": false, "max_memory_restart": "1T",
    });
    let left_out = translated(app, None).left_out;
    let names = [
        "instances",
        "cron_restart",
        "watch",
        "cwd",
        "out_file",
        "exec_mode",
        "kill_timeout",
        "min_uptime",
        "pmx",
        "max_memory_restart",
    ];
    for name in names {
        assert!(left_out.iter().any(|why| why.starts_with(&format!("{name}: "))), "{name}: {left_out:?}");
    }
    assert_eq!(left_out.len(), names.len(), "what is turned off needs no word: {left_out:?}");
}

#[test]
fn programs_are_run_as_pm2_runs_them() {
    let cases = [
        (json!({ "script": "app.js" }), &["node", "/srv/web/app.js"][..]),
        (json!({ "script": "app.js", "cwd": "current" }), &["node", "/srv/web/current/app.js"]),
        (
            json!({ "script": "/opt/app.py", "interpreter": "/opt/venv/bin/python" }),
            &["/opt/venv/bin/python", "/opt/app.py"],
        ),
        (json!({ "script": "./server", "interpreter": "none", "args": ["-p", 80] }), &["/srv/web/server", "-p", "80"]),
        (json!({ "script": "gunicorn", "args": "app:app" }), &["gunicorn", "app:app"]),
        (json!({ "exec": "./run.sh" }), &["bash", "/srv/web/run.sh"]),
    ];
    for (app, expected) in cases {
        let Value::Object(app) = app else { panic!("an object") };
        assert_eq!(program(&app, Path::new("/srv/web")), expected, "{app:?}");
    }
}

#[test]
fn names_fit_files() {
    for (app, expected) in [
        (json!({ "script": "srv/app.js" }), "app"),
        (json!({ "script": "a.js", "name": "../My app" }), "..-My-app"),
        (json!({ "script": "a.js", "name": 7 }), "7"),
    ] {
        assert_eq!(translated(app, None).name, expected);
    }
}
