//! The units of the deploy kit, as systemd reads them.

use std::path::Path;

use multi_node_it::needs;
use tokio::process::Command;

use crate::command::built;

/// What stands in the units, and what is there in its place when they are checked: systemd looks for each program.
fn with_programs_of_this_machine(unit: &str) -> String {
    unit.replace("/usr/local/bin/multi-node", env!("CARGO_BIN_EXE_multi-node"))
        .replace("/srv/app/current/server", &built("fixture"))
        .replace("WorkingDirectory=/srv/app", "WorkingDirectory=/")
        .replace("User=app", "User=root")
}

#[tokio::test]
async fn systemd_takes_the_units() {
    if !needs::program("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    let mut units = Vec::new();
    for (name, instance) in [
        ("app.service", "app.service"),
        ("app.socket", "app.socket"),
        ("multi-node@.service", "multi-node@web.service"),
    ] {
        let unit = std::fs::read_to_string(kit.join(name)).expect("a unit of the kit");
        units.push(folder.path().join(instance));
        std::fs::write(&units[units.len() - 1], with_programs_of_this_machine(&unit)).expect("written");
    }
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().await;
    let verify = verify.expect("it starts");
    let said = String::from_utf8_lossy(&verify.stderr).into_owned();
    // Units of this machine are read too.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(&folder.path().display().to_string())).collect();
    assert!(verify.status.success() && ours.is_empty(), "{said}");
}
