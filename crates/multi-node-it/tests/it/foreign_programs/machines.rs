//! The same program on two machines, which are two programs of this one, joined by a real NATS server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use multi_node::status::GatewayStatus;
use multi_node_it::nats::NatsServer;
use multi_node_it::{Plan, Program, procfs, send, within};
use rustix::process::Signal;

pub(super) fn plan(server: &NatsServer, machine: &str) -> Plan {
    Plan { bus: true, join: Some((server.url(), machine.to_owned())), ..Plan::nodes(2) }
}

pub(super) async fn server() -> Option<NatsServer> {
    let mut server = NatsServer::new()?;
    server.start().await;
    Some(server)
}

/// What each node has received, `publisher:text` or `publisher!missed`, once that is as wanted.
async fn received(program: &mut Program, wanted: impl Fn(&[String]) -> bool) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeMap::new();
    for slot in program.at_rest().await.slots {
        let id = slot.id.expect("it serves").to_string();
        let mut node = program.connected_to(&id).await;
        loop {
            let answer = node.get("/bus/received").await.expect("an answer").json();
            let lines = answer["received"].as_array().expect("a list").iter();
            let lines: Vec<String> = lines.map(|line| line.as_str().expect("a line").to_owned()).collect();
            if wanted(&lines) {
                seen.insert(id, lines);
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    seen
}

/// Has the node publish these texts, one after the other.
async fn publish(program: &Program, id: &str, texts: impl Iterator<Item = String>) {
    let mut node = program.connected_to(id).await;
    for text in texts {
        let answer = node.get(&format!("/bus/publish/{text}")).await.expect("an answer").body;
        assert!(answer.contains("Published"), "{answer}");
    }
}

fn ends(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.ends_with(&format!(":{text}")))
}

/// Publishes on one machine until all nodes of the other see it.
pub(super) async fn reaches(from: &Program, id: &str, to: &mut Program, word: &str) {
    for slot in to.at_rest().await.slots {
        let node = slot.id.expect("it serves").to_string();
        let mut client = to.connected_to(&node).await;
        for number in 0.. {
            publish(from, id, [format!("{word}-{node}-{number}")].into_iter()).await;
            let lines = client.get("/bus/received").await.expect("an answer").body;
            // The other machine has not published that.
            if lines.contains(&format!(":{word}-{node}-")) {
                break;
            }
        }
    }
}

pub(super) async fn first(program: &mut Program) -> String {
    program.at_rest().await.slots[0].id.expect("it serves").to_string()
}

/// The process that is neither the master nor a node.
pub(super) async fn gateway(program: &mut Program) -> u32 {
    let nodes: BTreeSet<u32> = program.pids().await.into_iter().collect();
    loop {
        let mut others = program.processes();
        others.retain(|pid| *pid != program.pid && !nodes.contains(pid));
        if let [gateway] = others[..] {
            return gateway;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The lines of this publisher, without what came before `first`.
fn of<'a>(lines: &'a [String], publisher: &str, first: &str) -> Vec<&'a str> {
    let own = lines.iter().filter_map(|line| line.strip_prefix(publisher)?.strip_prefix([':', '!']));
    own.skip_while(|text| *text != first).collect()
}

#[tokio::test]
async fn messages_cross_both_ways_once_to_each_node_and_the_gateway_alone_knows_nats() {
    let Some(server) = server().await else { return };
    within(120, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        let (at_alpha, at_beta) = (first(&mut alpha).await, first(&mut beta).await);
        reaches(&alpha, &at_alpha, &mut beta, "of-alpha").await;
        reaches(&beta, &at_beta, &mut alpha, "of-beta").await;
        let texts = || (0..50).map(|number| format!("m{number}"));
        publish(&alpha, &at_alpha, texts()).await;
        publish(&beta, &at_beta, texts()).await;
        let expected: Vec<String> = texts().collect();
        for (program, machine) in [(&mut alpha, "beta"), (&mut beta, "alpha")] {
            let seen = received(program, |lines| lines.iter().filter(|line| line.ends_with(":m49")).count() == 2).await;
            assert_eq!(seen.len(), 2);
            for (id, lines) in seen {
                let remote =
                    lines.iter().rfind(|line| line.starts_with(&format!("{machine}/0#"))).expect("a remote one");
                let remote = remote.rsplit_once(':').expect("a message").0;
                assert_eq!(of(&lines, remote, "m0"), expected, "{id} of {machine}");
                assert_eq!(lines.iter().filter(|line| line.ends_with(":m7")).count(), 2, "one of each machine");
            }
        }
        let connected: Vec<u32> =
            alpha.processes().into_iter().filter(|pid| connects(*pid, server.addr().port())).collect();
        let pid = gateway(&mut alpha).await;
        assert_eq!(connected, [pid]);
        let shows = |status: &GatewayStatus| (status.pid, status.connected, status.machines) == (Some(pid), true, 1);
        let counts = |status: &GatewayStatus| status.published >= 50 && status.received >= 50;
        alpha
            .status_where(|status| status.gateway.as_ref().is_some_and(|status| shows(status) && counts(status)))
            .await;
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

/// Whether the process has a TCP connection to this port.
pub(super) fn connects(pid: u32, port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").expect("readable");
    let to = format!(":{port:04X}");
    let inodes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(2).filter(|remote| remote.ends_with(&to)).and(fields.get(9)).map(|inode| format!("socket:[{inode}]"))
    });
    let inodes: BTreeSet<String> = inodes.collect();
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| inodes.contains(&*to.to_string_lossy())))
}

#[tokio::test]
async fn a_killed_gateway_is_replaced_local_messages_lose_nothing_and_the_gap_shows() {
    let Some(server) = server().await else { return };
    within(120, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        let at_alpha = first(&mut alpha).await;
        reaches(&alpha, &at_alpha, &mut beta, "hello").await;
        publish(&alpha, &at_alpha, ["start".to_owned()].into_iter()).await;
        received(&mut beta, |lines| ends(lines, "start")).await;
        for (killed, round) in [(true, "a"), (false, "b")] {
            let gateway_pid = gateway(if killed { &mut alpha } else { &mut beta }).await;
            publish(&alpha, &at_alpha, (0..20).map(|number| format!("{round}{number}"))).await;
            send(gateway_pid, Signal::KILL);
            publish(&alpha, &at_alpha, (20..40).map(|number| format!("{round}{number}"))).await;
            reaches(&alpha, &at_alpha, &mut beta, &format!("{round}-again")).await;
            publish(&alpha, &at_alpha, [format!("{round}-last")].into_iter()).await;
            assert_ne!(gateway(if killed { &mut alpha } else { &mut beta }).await, gateway_pid);
        }
        let local = received(&mut alpha, |lines| ends(lines, "b-last")).await;
        let published: Vec<&str> = of(&local[&at_alpha], &at_alpha, "start");
        for (id, lines) in &local {
            assert_eq!(of(lines, &at_alpha, "start"), published, "{id} has missed something, or has it twice");
        }
        for (id, lines) in received(&mut beta, |lines| ends(lines, "b-last")).await {
            let remote = lines.iter().find(|line| line.ends_with(":start")).expect("before the kill").rsplit_once(':');
            let prefix = remote.expect("a message").0;
            let mut next = 0;
            for text in of(&lines, prefix, "start") {
                match text.parse::<usize>() {
                    Ok(missed) => next += missed,
                    Err(_) => {
                        assert_eq!(text, published[next], "{id}: a gap that does not show, or a message twice");
                        next += 1;
                    }
                }
            }
            assert_eq!(next, published.len(), "{id}");
        }
        assert!(alpha.log().contains("the gateway to other machines has"), "{}", alpha.log());
        assert!(alpha.status().await.slots.iter().all(|slot| slot.restarts == 0));
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_reload_and_an_upgrade_replace_the_gateway_too() {
    let Some(server) = server().await else { return };
    within(120, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        let before = gateway(&mut alpha).await;
        assert!(alpha.command("reload").await["Ok"].is_object());
        let at_alpha = first(&mut alpha).await;
        reaches(&alpha, &at_alpha, &mut beta, "reloaded").await;
        let reloaded = gateway(&mut alpha).await;
        assert_ne!(reloaded, before);
        alpha.upgrade().await.expect("the new program takes over");
        let at_alpha = first(&mut alpha).await;
        reaches(&alpha, &at_alpha, &mut beta, "upgraded").await;
        assert_ne!(gateway(&mut alpha).await, reloaded);
        let at_beta = first(&mut beta).await;
        reaches(&beta, &at_beta, &mut alpha, "back").await;
        assert!(procfs::zombies(alpha.pid).is_empty());
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_nats_a_machine_serves_alone_and_joins_later() {
    let Some(mut server) = NatsServer::new() else { return };
    within(120, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        let at_alpha = first(&mut alpha).await;
        publish(&alpha, &at_alpha, ["alone".to_owned()].into_iter()).await;
        assert_eq!(received(&mut alpha, |lines| ends(lines, "alone")).await.len(), 2);
        let is = |connected| move |status: &GatewayStatus| status.pid.is_some() && status.connected == connected;
        alpha.status_where(|status| status.gateway.as_ref().is_some_and(is(false))).await;
        server.start().await;
        reaches(&alpha, &at_alpha, &mut beta, "joined").await;
        alpha.logged("joined with other machines by NATS").await;
        server.kill();
        alpha.logged("NATS is not there: this machine is on its own for now").await;
        alpha.status_where(|status| status.gateway.as_ref().is_some_and(is(false))).await;
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

/// What a node of this program gets when it asks for `name`.
async fn ask(program: &mut Program, path: &str) -> serde_json::Value {
    let node = first(program).await;
    program.connected_to(&node).await.get(&format!("/bus/ask/{path}")).await.expect("an answer").json()
}

/// Asks until the answer is as wanted.
pub(super) async fn asks(
    program: &mut Program,
    path: &str,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    loop {
        let answer = ask(program, path).await;
        if wanted(&answer) {
            return answer;
        }
    }
}

fn fails(answer: &serde_json::Value, with: &str) -> bool {
    answer["error"].as_str().is_some_and(|error| error.contains(with))
}

#[tokio::test]
async fn requests_go_to_another_machine_where_none_here_answers_and_say_why_there_is_no_answer() {
    let Some(mut server) = server().await else { return };
    within(120, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let missing = asks(&mut alpha, "at-beta/0", |answer| !fails(answer, "cannot be reached")).await;
        assert_eq!(missing["error"], "there is no handler `at-beta` at any process", "NATS says so at once");
        let mut beta = Program::serving(plan(&server, "beta")).await;
        let answer = asks(&mut alpha, "at-beta/0", |answer| answer["id"].is_string()).await;
        let by = answer["by"].as_str().expect("a process");
        assert!(by.starts_with("alpha/0#"), "{by}");
        for _ in 0..20 {
            assert!(
                !ask(&mut alpha, "at-alpha/0").await["by"].as_str().expect("it answers").contains("alpha/"),
                "here"
            );
        }
        // Beta knows who has asked, and asks that process.
        let at_alpha = first(&mut alpha).await;
        let by_id = answer["by_id"].as_str().expect("an id").to_owned();
        let asked = answer["id"].as_str().expect("an id").to_owned();
        let mut node = beta.connected_to(&asked).await;
        let back = node.get(&format!("/bus/ask/at-alpha/0/{by_id}")).await.expect("an answer").json();
        assert_eq!(
            (back["id"].as_str(), back["by"].as_str().map(|by| by.starts_with("beta/"))),
            (Some(&*at_alpha), Some(true))
        );
        assert_eq!(ask(&mut alpha, "at-beta/60000").await["error"], "no answer within 2s");
        // Beta's nodes end in the middle of an answer.
        let (slow, ()) = tokio::join!(ask(&mut alpha, "at-beta/1500"), async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            beta.pids().await.into_iter().for_each(|pid| send(pid, Signal::KILL));
        });
        assert!(fails(&slow, "gone, and may or may not have"), "{slow}");
        // So does this machine's gateway.
        asks(&mut alpha, "at-beta/0", |answer| answer["id"].is_string()).await;
        let gateway_pid = gateway(&mut alpha).await;
        let (slow, ()) = tokio::join!(ask(&mut alpha, "at-beta/1500"), async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            send(gateway_pid, Signal::KILL);
        });
        assert!(fails(&slow, "gone, and may or may not have"), "{slow}");
        asks(&mut alpha, "at-beta/0", |answer| answer["id"].is_string()).await;
        // And NATS.
        server.kill();
        asks(&mut alpha, "at-beta/0", |answer| fails(answer, "others cannot be reached: NATS is not there")).await;
        let here = ask(&mut alpha, "at-alpha/0").await;
        assert!(here["id"].is_string(), "{here}");
        server.start().await;
        asks(&mut alpha, "at-beta/0", |answer| answer["id"].is_string()).await;
        beta.stop().await;
        asks(&mut alpha, "at-beta/0", |answer| fails(answer, "there is no handler `at-beta`")).await;
        alpha.stop().await;
    })
    .await;
}
