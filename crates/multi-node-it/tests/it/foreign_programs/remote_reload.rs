//! One machine has another reload.

use multi_node::admin::{Client, ClientError, MachineInfo, Request};
use multi_node::commands::ReloadReport;
use multi_node_it::{Plan, Program, within};

use super::machines::{plan, server};

pub(super) async fn client(program: &Program, name: &str) -> Client {
    Client::connect_to(&program.control(name)).await.expect("a control socket")
}

/// Waits until this machine knows `count` machines, itself included.
pub(super) async fn knows(program: &Program, name: &str, count: usize) {
    while client(program, name).await.ask::<Vec<MachineInfo>>(&Request::Machines).await.expect("machines").len() < count
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_machine_that_allows_it_reloads_and_its_verdict_comes_back() {
    let Some(server) = server().await else { return };
    within(120, async {
        let of = |name: &str, remote_commands| Plan {
            control: Some(name.to_owned()),
            remote_commands,
            ..plan(&server, name)
        };
        let alpha = Program::serving(of("alpha", false)).await;
        let mut beta = Program::serving(of("beta", true)).await;
        knows(&alpha, "alpha", 2).await;
        knows(&beta, "beta", 2).await;
        let before = beta.pids().await;
        let request = |machine: &str| Request::ReloadMachine { machine: machine.to_owned() };
        let report = client(&alpha, "alpha").await.ask::<ReloadReport>(&request("beta")).await.expect("it reloads");
        assert_eq!((report.generation.number(), report.slots.len()), (1, 2));
        assert!(beta.pids().await.iter().all(|pid| !before.contains(pid)));
        for (machine, code) in [("alpha", "not_allowed"), ("gamma", "no_such_machine")] {
            let answer = client(&beta, "beta").await.ask::<ReloadReport>(&request(machine)).await;
            assert!(matches!(&answer, Err(ClientError::Refused(refusal)) if refusal.code == code), "{answer:?}");
        }
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}
