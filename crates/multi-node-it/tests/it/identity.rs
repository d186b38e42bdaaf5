//! The master binds, and nodes run as somebody else.

use std::os::unix::fs::PermissionsExt;

use crate::lifetimes::refusal;
use multi_node_it::program::{fixture, send};
use multi_node_it::{Plan, Program, needs, within};
use rustix::process::Signal;

/// What /proc says of a process (proc(5)).
fn status(pid: u32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn nodes_run_as_another_user_and_without_capabilities() {
    if !needs::root("start nodes as another user") {
        return;
    }
    within(60, async {
        let plan = Plan { user: Some("daemon".into()), umask: Some(0o027), ..Plan::nodes(2) };
        let mut program = Program::serving(plan).await;
        for pid in program.pids().await {
            assert_eq!((status(pid, "Uid"), status(pid, "Gid")), ("1 1 1 1".to_owned(), "1 1 1 1".to_owned()));
            assert_eq!((status(pid, "Groups"), status(pid, "Umask")), ("1".to_owned(), "0027".to_owned()));
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(status(pid, set), "0000000000000000", "{set}");
            }
            let environ = std::fs::read(format!("/proc/{pid}/environ")).expect("we are root");
            let variables: Vec<_> = environ.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            for wanted in ["HOME=/usr/sbin", "USER=daemon", "LOGNAME=daemon"] {
                assert_eq!(variables.iter().filter(|is| *is == wanted).count(), 1, "{wanted} in {variables:?}");
            }
        }
        assert_eq!(status(program.pid, "Uid"), "0 0 0 0", "the master stays what it was");

        // One that is killed, those of a reload, and those that the next master starts are no different.
        let pids = program.pids().await;
        send(pids[0], Signal::KILL);
        program.status_where(|status| status.slots[0].restarts == 1 && status.is_ready()).await;
        program.signal(Signal::USR2);
        program.listens_again().await;
        program.gone(pids).await;
        for pid in program.pids().await {
            assert_eq!(status(pid, "Uid"), "1 1 1 1");
        }
        assert_eq!(status(program.pid, "Uid"), "0 0 0 0", "the next master can bind as this one did");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_number_needs_no_account_where_a_group_is_given() {
    if !needs::root("start nodes as another user") {
        return;
    }
    within(30, async {
        let plan = Plan { user: Some("61234".into()), group: Some("61235".into()), ..Plan::nodes(1) };
        let mut program = Program::serving(plan).await;
        let pid = program.pids().await[0];
        assert_eq!(status(pid, "Uid"), "61234 61234 61234 61234");
        assert_eq!((status(pid, "Gid"), status(pid, "Groups")), ("61235 61235 61235 61235".into(), "61235".into()));
        let environ = std::fs::read(format!("/proc/{pid}/environ")).expect("we are root");
        assert!(environ.split(|byte| *byte == 0).any(|variable| variable == b"HOME=/"), "its home is the root folder");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_user_is_named_before_anything_is_bound() {
    within(60, async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let number = "no account has this number, so it needs a group too: set `group`";
        let cases = [
            (Some("nobody-of-that-name"), None, "there is no such user (`getent passwd` lists those there are)"),
            (None, Some("nothing"), "there is no such group (`getent group` lists those there are)"),
            (Some("61234"), None, number),
        ];
        for (user, group, why) in cases {
            let (user, group) = (user.map(str::to_owned), group.map(str::to_owned));
            let plan = Plan { user, group, port, ..Plan::nodes(1) };
            let refusal = refusal(Program::launch(&fixture(), plan, |_| {})).await;
            assert!(refusal.starts_with("Error: option `") && refusal.ends_with(why), "{refusal}");
        }
        let plan = Plan { user: Some("daemon".into()), ..Plan::nodes(0) };
        let refusal = refusal(Program::launch(&fixture(), plan, |_| {})).await;
        assert!(refusal.contains("this process serves alone, with its own privileges"), "{refusal}");
    })
    .await;
}

#[tokio::test]
async fn who_may_not_change_the_user_is_refused() {
    if !needs::root("start nodes as another user") {
        return;
    }
    within(30, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = folder.path().join("fixture");
        std::fs::copy(fixture(), &copy).expect("a copy of the fixture");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("a folder of ours");
        let start = |user: &str| {
            let plan = Plan { user: Some(user.to_owned()), ..Plan::nodes(1) };
            Program::launch(&copy, plan, |command| {
                command.current_dir("/").uid(1).gid(1);
            })
        };
        let refusal = refusal(start("nobody")).await;
        assert!(
            refusal.ends_with("only root, or CAP_SETUID with CAP_SETGID, starts nodes as somebody else"),
            "{refusal}"
        );
        // Its own user is no change.
        let mut program = start("daemon");
        program.listens().await;
        program.stop().await;
    })
    .await;
}
