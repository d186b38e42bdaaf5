//! The units of the deploy kit under a systemd of their own: started, reloaded, broken and stopped.

use std::fs;
use std::path::{Path, PathBuf};

use multi_node_it::{needs, within};
use tokio::process::Command;

use crate::command::app;

/// The code by which `in-systemd.sh` says that no systemd can be run here.
const NOT_HERE: i32 = 77;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from.as_ref()).arg(to.as_ref()).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} is not copied", from.as_ref().display());
}

/// What `units.sh` needs, in one folder: the kit, the command, a program that links the library, and FastAPI.
fn parts(folder: &Path, python: &str, frameworks: &str) {
    let command = Path::new(env!("CARGO_BIN_EXE_multi-node"));
    copy(command, folder.join("multi-node"));
    copy(command.with_file_name("examples").join("hello"), folder.join("server"));
    copy(repository().join("deploy/systemd"), folder.join("units"));
    let web = fs::read_to_string(folder.join("units/web.toml")).expect("the settings");
    fs::write(folder.join("web.toml"), web).expect("written");
    fs::remove_file(folder.join("units/web.toml")).expect("removed");
    copy(repository().join("examples/fastapi/app.py"), folder.join("app.py"));
    let plain = fs::read_to_string(app("server.py")).expect("a program").replace("def asgi", "def app");
    fs::write(folder.join("plain.py"), plain).expect("written");
    fs::create_dir(folder.join("modules")).expect("a folder");
    for modules in [python, frameworks] {
        copy(Path::new(modules).join("."), folder.join("modules"));
    }
    copy(app("systemd/units.sh"), folder.join("units.sh"));
}

#[tokio::test]
async fn units_are_started_reloaded_broken_and_stopped() {
    let Some(python) = needs::server("python") else { return };
    let Some(frameworks) = needs::server("frameworks") else { return };
    if !needs::root("run a systemd") || !needs::program("systemd-analyze") || !needs::program("curl") {
        return;
    }
    if !Path::new("/usr/bin/python3").exists() {
        return needs::skip("/usr/bin/python3 is missing; units with ProtectHome= see no other");
    }
    within(110, async {
        let folder = tempfile::Builder::new().prefix("multi-node-units-").tempdir_in("/var/tmp").expect("a folder");
        parts(folder.path(), &python, &frameworks);
        let at = folder.path().to_str().expect("text");
        let mut command = Command::new(repository().join("scripts/in-systemd.sh"));
        let output = command.args(["bash", &format!("{at}/units.sh"), at]).kill_on_drop(true).output().await;
        let output = output.expect("it starts");
        let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        if output.status.code() == Some(NOT_HERE) {
            return needs::skip(said.trim());
        }
        println!("{said}");
        assert!(output.status.success(), "{:?}\n{said}", output.status);
    })
    .await;
}
