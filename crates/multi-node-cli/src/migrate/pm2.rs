//! An app of PM2's ecosystem file as settings: <https://pm2.keymetrics.io/docs/usage/application-declaration/>.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Translated;
use super::ecosystem::App;

/// The signal by which PM2 tells a process to end.
const STOP_SIGNAL: &str = "SIGINT";

/// The variable by which PM2 tells a process its number.
const INSTANCE_VAR: &str = "NODE_APP_INSTANCE";

/// What runs a script whose name ends so. Anything else needs none.
const INTERPRETERS: [(&str, &str); 8] = [
    ("js", "node"),
    ("cjs", "node"),
    ("mjs", "node"),
    ("py", "python3"),
    ("rb", "ruby"),
    ("php", "php"),
    ("pl", "perl"),
    ("sh", "bash"),
];

/// What is another program's business here.
const LOGS: &str = "the nodes' lines go to this command's output, and so to systemd's journal";
const FILES: &str = "a deploy says when to reload: `multi-node reload --wait`";

/// The settings for an app. `folder` is where its file is, and `wanted` the name of the environment that `pm2 --env` would have.
pub(crate) fn translate(app: &App, folder: &Path, wanted: Option<&str>) -> Translated {
    let mut to = Translated { name: name(app), ..Translated::default() };
    to.set("name", to.name.clone());
    to.set("nodes", 1);
    to.set("stop-signal", STOP_SIGNAL);
    let program = program(app, folder);
    if !runs_node(&program) {
        to.leave_out(
            "port",
            "say `port` or `bind`, and how the program takes the socket, such as by {fd} in its arguments",
        );
    }
    to.set("program", program);
    for (key, value) in app {
        if !value.is_null() {
            translate_one(&mut to, key, value, wanted);
        }
    }
    let number_in = app.get("instance_var").and_then(Value::as_str).unwrap_or(INSTANCE_VAR);
    to.env.insert(number_in.to_owned(), "{slot}".into());
    // It goes over the variables that every environment has.
    if let Some(variables) = wanted.and_then(|wanted| app.get(&format!("env_{wanted}"))) {
        add_variables(&mut to, variables);
    }
    to
}

fn translate_one(to: &mut Translated, key: &str, value: &Value, wanted: Option<&str>) {
    let is_on = value != &Value::Bool(false);
    match key {
        "name" | "script" | "exec" | "args" | "interpreter" | "exec_interpreter" | "node_args" | "interpreter_args"
        | "interpreterArgs" | "instance_var" => {}
        "instances" => nodes(to, value),
        "exec_mode" => exec_mode(to, value),
        "env" => add_variables(to, value),
        "port" => drop(to.env.entry("PORT").or_insert(text(value).into())),
        "cwd" => to.leave_out(key, &format!("say WorkingDirectory={} in the unit, or start it there", text(value))),
        "max_memory_restart" => put(to, "max-memory", key, size(value)),
        "kill_timeout" => put(to, "drain-timeout", key, time(value)),
        "listen_timeout" => put(to, "start-timeout", key, time(value)),
        "restart_delay" | "exp_backoff_restart_delay" => put(to, "backoff", key, time(value)),
        "max_restarts" => put(to, "crash-loop", key, value.as_u64().and_then(|ends| i64::try_from(ends).ok())),
        "wait_ready" if is_on => to.set("ready", "notify"),
        "autorestart" => to.set("restart", is_on),
        "uid" | "user" => to.set("user", text(value)),
        "gid" => to.set("group", text(value)),
        "log_type" if value == "json" => to.set("log-format", "json"),
        "min_uptime" => {
            to.leave_out(key, "ends within `crash-loop-within` (1m) count, whenever the node had become ready");
        }
        "cron_restart" | "cron" => {
            let why = format!("{}; use a systemd timer or cron with `multi-node reload {}`", text(value), to.name);
            to.leave_out(key, &why);
        }
        "shutdown_with_message" if is_on => to.leave_out(key, "the signal `stop-signal` ends a node"),
        "increment_var" => to.leave_out(key, "write {slot} into a variable of [env]"),
        "stop_exit_codes" => to.leave_out(key, "every end that was not asked for is followed by a new node"),
        "watch" | "watch_delay" | "ignore_watch" | "watch_options" if is_on => to.leave_out(key, FILES),
        "out_file" | "out" | "output" | "out_log" | "error_file" | "error" | "err" | "err_file" | "err_log"
        | "log_file" | "log" | "log_date_format" | "time" | "merge_logs" | "combine_logs" | "disable_logs"
            if is_on =>
        {
            to.leave_out(key, LOGS);
        }
        _ if key.strip_prefix("env_").is_some_and(|name| Some(name) != wanted) => {
            let name = key.trim_start_matches("env_");
            to.leave_out(key, &format!("another environment; translate it by `--env {name}`"));
        }
        _ if key.starts_with("env_") => {}
        _ if is_on => to.leave_out(key, "it has no counterpart"),
        _ => {}
    }
}

fn name(app: &App) -> String {
    let script = PathBuf::from(script(app));
    let stem = script.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = app.get("name").map_or(stem, text);
    // As far as a file and a control socket can be called so.
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

fn script(app: &App) -> String {
    app.get("script").or_else(|| app.get("exec")).map(text).unwrap_or_default()
}

/// The interpreter, its arguments, the script, and the script's arguments.
fn program(app: &App, folder: &Path) -> Vec<String> {
    let script = script(app);
    let folder = folder.join(app.get("cwd").map(text).unwrap_or_default());
    let path = folder.join(&script);
    // A name that is no file of the app is looked up in PATH, as PM2 does.
    let usual = usual_interpreter(&script);
    let is_file = script.contains('/') || usual.is_some() || path.exists();
    let path = if is_file { path.components().collect::<PathBuf>().display().to_string() } else { script.clone() };
    let given = ["interpreter", "exec_interpreter"].iter().find_map(|key| app.get(*key)).map(text);
    let interpreter = match given {
        Some(none) if none == "none" => None,
        Some(given) => Some(given),
        None => usual.map(str::to_owned),
    };
    let of = |keys: &[&str]| keys.iter().find_map(|key| app.get(*key)).map(words).unwrap_or_default();
    let before = interpreter.into_iter().chain(of(&["node_args", "interpreter_args", "interpreterArgs"]));
    before.chain([path]).chain(of(&["args"])).collect()
}

fn runs_node(program: &[String]) -> bool {
    let file = program.first().and_then(|program| Path::new(program).file_name());
    file.is_some_and(|file| file == "node" || file == "nodejs")
}

fn usual_interpreter(script: &str) -> Option<&'static str> {
    let ending = Path::new(script).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    INTERPRETERS.iter().find(|(known, _)| *known == ending).map(|(_, interpreter)| *interpreter)
}

fn nodes(to: &mut Translated, value: &Value) {
    match value.as_i64().or_else(|| text(value).parse().ok()) {
        Some(count) if count > 0 => to.set("nodes", count),
        Some(count) if count < 0 => {
            to.set("nodes", "auto");
            to.leave_out("instances", &format!("{count} is for all cores but some; `nodes` is a number or auto"));
        }
        _ => to.set("nodes", "auto"),
    }
}

fn exec_mode(to: &mut Translated, value: &Value) {
    if text(value).starts_with("fork") {
        to.leave_out(
            "exec_mode",
            "the nodes of a Node.js program share the port that it listens on, as in cluster mode",
        );
    }
}

fn add_variables(to: &mut Translated, variables: &Value) {
    for (name, value) in variables.as_object().into_iter().flatten() {
        to.env.insert(name.clone(), text(value).into());
    }
}

fn put(to: &mut Translated, setting: &str, key: &str, value: Option<impl Into<toml::Value>>) {
    match value {
        Some(value) => to.set(setting, value),
        None => to.leave_out(key, &format!("its value was not understood; the setting is `{setting}`")),
    }
}

/// Milliseconds, or a number with h, m or s behind.
fn time(value: &Value) -> Option<String> {
    let said = text(value);
    if let Ok(milliseconds) = said.parse::<u64>() {
        return Some(format!("{milliseconds}ms"));
    }
    let number = said.strip_suffix(['h', 'm', 's'])?;
    number.parse::<u64>().is_ok().then_some(said)
}

/// Bytes, or a number with K, M or G behind, each 1024 times the one before.
fn size(value: &Value) -> Option<String> {
    let said = text(value);
    let (number, unit) = match said.strip_suffix(['K', 'M', 'G']) {
        Some(number) => (number, format!("{}iB", &said[number.len()..])),
        None => (said.as_str(), "B".to_owned()),
    };
    number.parse::<u64>().ok().map(|number| format!("{number}{unit}"))
}

/// Words as a shell splits them, or a list of them.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(words) => words.iter().map(text).collect(),
        line => shlex::split(&text(line)).unwrap_or_else(|| vec![text(line)]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
#[path = "pm2_tests.rs"]
mod tests;
