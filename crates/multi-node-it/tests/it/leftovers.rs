//! What a program that never reached `listen` has started ends with it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use multi_node_it::program::fixture;
use multi_node_it::{Plan, Program, within};

/// Puts a script of a shell in the program's place.
fn deploy(program: &Path, script: &str) {
    let next = program.with_extension("next");
    fs::write(&next, format!("#!/bin/sh\n{script}\n")).expect("a file of ours");
    fs::set_permissions(&next, Permissions::from_mode(0o755)).expect("a file of ours");
    fs::rename(next, program).expect("a file of ours");
}

#[tokio::test]
async fn a_release_that_is_a_shell_with_children_leaves_none_of_them() {
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::copy(fixture(), &path).expect("a file of ours");
        let plan = Plan { start_timeout: Duration::from_secs(2), ..Plan::nodes(1) };
        let mut program = Program::run(&path, plan, |_| {}).await;
        program.command("ready").await;
        let before = program.processes();

        // One that stays in its group, one that leaves it, and one that ignores the signal to end.
        deploy(&path, "sleep 1000 & setsid sleep 1001 & (trap '' TERM; exec sleep 1002) & sleep 1003");
        for command in ["reload", "upgrade"] {
            let answer = program.command(command).await;
            assert!(answer["Err"]["failed"].is_object(), "{command}: {answer}");
            program.until(|| program.processes() == before).await;
        }
        // One that fails on its own, and leaves a process behind.
        deploy(&path, "setsid sleep 1004 & exit 7");
        for command in ["reload", "upgrade"] {
            let answer = program.command(command).await;
            assert!(answer["Err"]["failed"].is_object(), "{command}: {answer}");
            program.until(|| program.processes() == before).await;
        }
        program.stop().await;
    })
    .await;
}
