//! What a test needs beyond Rust, make and a C compiler. A test that lacks it is skipped, always by [`skip`]: `make test` ends
//! with the list of skipped tests and their reasons, and with `CI=true` a skipped test fails.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::panic::Location;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// The file to which reasons are appended; `scripts/each.sh` sets it.
const LIST: &str = "SKIPPED";

/// Says why the test is skipped; the caller returns then.
///
/// # Panics
///
/// With `CI=true` in the environment.
#[track_caller]
pub fn skip(why: impl Display) {
    let line = format!("{}: {why}", test());
    eprintln!("skipped: {line}");
    if let Some(list) = std::env::var_os(LIST) {
        let file = File::options().append(true).create(true).open(list);
        file.and_then(|mut file| writeln!(file, "{line}")).expect("the list of skipped tests can be written");
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI no test is skipped; {line}");
}

/// The test's name, or the line that skips where the test has the main thread.
#[track_caller]
fn test() -> String {
    let name = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
    name.unwrap_or_else(|| Location::caller().to_string())
}

/// Whether the program is in PATH.
#[track_caller]
pub fn program(name: &str) -> bool {
    let found = find_in_path(name).is_some();
    if !found {
        skip(format_args!("{name} is not in PATH; scripts/install-tools.sh installs it"));
    }
    found
}

/// What `make test-foreign` has fetched to this path below `target/servers`.
#[track_caller]
pub fn server(path: &str) -> Option<String> {
    let fetched = fetched(path);
    if fetched.is_none() {
        skip(format_args!("target/servers/{path} is missing; scripts/install-servers.sh fetches it{}", cause(path)));
    }
    fetched
}

/// Whether the test runs as root, who alone can do this.
#[track_caller]
pub fn root(to: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        skip(format_args!("only root can {to}"));
    }
    is_root
}

/// Whether unshare(1) makes namespaces with these options.
#[track_caller]
pub fn unshare(options: &[&str]) -> bool {
    let tried = std::process::Command::new("unshare").args(options).arg("true").output();
    let possible = tried.is_ok_and(|output| output.status.success());
    if !possible {
        skip(format_args!("`unshare {}` does not work here", options.join(" ")));
    }
    possible
}

/// A program's path.
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The same as [`server`] for what the test can do without.
pub fn fetched(path: &str) -> Option<String> {
    let path = servers()?.join(path);
    path.exists().then(|| path.to_str().expect("a path in UTF-8").to_owned())
}

/// Why the script could not fetch it: the last line that it has left.
fn cause(path: &str) -> String {
    let name = Path::new(path).iter().next().unwrap_or_default();
    let why = servers().and_then(|folder| std::fs::read_to_string(folder.join(name).with_extension("why")).ok());
    why.map(|why| format!(" (last time: {})", why.trim())).unwrap_or_default()
}

/// `target/servers`, found from `target/debug/deps/it-0123`.
fn servers() -> Option<PathBuf> {
    let test = std::env::current_exe().expect("a test program");
    test.ancestors().map(|folder| folder.join("servers")).find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests;
