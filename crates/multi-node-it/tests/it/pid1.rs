//! In a container: the master as PID 1, or below another PID 1.

use std::ffi::OsStr;

use multi_node_it::program::fixture;
use multi_node_it::{Plan, Program, needs, procfs, send, within};
use rustix::process::Signal;
use serde_json::json;

/// The program in a PID namespace of its own, started there by this command; `None` where that is not allowed.
async fn contained(command: &[&OsStr]) -> Option<Program> {
    let flags = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    if !needs::root("make a PID namespace") || !needs::unshare(&flags) {
        return None;
    }
    let mut program = Program::run("unshare".as_ref(), Plan::nodes(2), |unshare| {
        unshare.args(flags).args(command);
    })
    .await;
    program.command("ready").await;
    Some(program)
}

/// The program with its master as PID 1, and the master's pid out here.
async fn as_pid_1() -> Option<(Program, u32)> {
    let program = contained(&[fixture().as_os_str()]).await?;
    let master = procfs::children(program.pid)[0];
    Some((program, master))
}

#[tokio::test]
async fn orphans_are_reaped_and_the_application_s_children_are_not() {
    within(30, async {
        let Some((mut program, master)) = as_pid_1().await else { return };
        let nodes = procfs::children(master).len();
        assert!(program.command("start child").await["Ok"].is_number());
        program.until(|| procfs::zombies(master).len() == 1).await;
        let own = procfs::zombies(master);
        for orphan in 0..5 {
            let pid = program.get("/orphan").await.expect("an answer").body;
            assert!(pid.trim().parse::<u32>().is_ok(), "{pid:?} is no process");
            // It becomes the master's, ends, and is reaped, which is all to be seen from here.
            program.until(|| procfs::zombies(master) == own && procfs::children(master).len() == nodes + 1).await;
            assert_eq!(procfs::zombies(master), own, "after orphan {orphan}");
        }
        assert_eq!(program.command("wait for child").await, json!({ "Ok": 7 }), "the status is the application's");
        assert_eq!(procfs::zombies(master), [0; 0]);
        send(master, Signal::TERM);
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_are_replaced_and_the_program_ends_on_sigterm() {
    within(30, async {
        let Some((mut program, master)) = as_pid_1().await else { return };
        let before = program.status().await;
        let node = procfs::children(master)[0];
        send(node, Signal::KILL);
        let after = program.status_where(|s| s.slots.iter().any(|slot| slot.restarts == 1) && s.is_ready()).await;
        assert_eq!(after.slots.len(), before.slots.len());
        let exits = after.slots.iter().filter_map(|slot| slot.last_exit).collect::<Vec<_>>();
        assert_eq!(exits, [multi_node::status::Exit::Signal(9)], "its status was not lost to the reaper");
        send(master, Signal::TERM);
        program.ends_well().await;
    })
    .await;
}

/// Below a PID 1 of its own session a node is in no orphaned process group, for which the kernel would continue it.
#[tokio::test]
async fn a_stopped_node_leaves_when_another_pid_1_inherits_it() {
    within(30, async {
        let script = format!("{}; exec sleep 60", fixture().display());
        let Some(program) = contained(&["sh".as_ref(), "-c".as_ref(), script.as_ref()]).await else { return };
        let shell = procfs::children(program.pid)[0];
        let master = procfs::children(shell)[0];
        let nodes = procfs::children(master);
        send(nodes[0], Signal::STOP);
        program.until(|| procfs::state(nodes[0]) == Some('T')).await;
        send(master, Signal::KILL);
        // Nobody reaps them here.
        program.until(|| nodes.iter().all(|pid| !procfs::is_alive(*pid))).await;
    })
    .await;
}
