//! What a user of a real NATS server has to be allowed: with the permissions of docs/machines.md all works, and without one the log and the
//! status say what is refused.

use multi_node::admin::Request;
use multi_node::commands::ReloadReport;
use multi_node_it::nats::NatsServer;
use multi_node_it::plan::JoinPlan;
use multi_node_it::{Plan, Program, within};
use serde_json::{Value, json};

use super::joined::{lead, session, term, until};
use super::machines::{asks, first, reaches};
use super::remote_reload::{client, knows};

/// As the docs say.
const SUBSCRIBE: &str = "mn.test.>";
const PUBLISH: [&str; 4] = ["mn.test.>", "$JS.API.>", "$KV.mn-test-sessions.>", "$KV.mn-test-leases.>"];

/// A server whose only user may do this.
async fn server(subscribe: &str, publish: &[&str]) -> Option<NatsServer> {
    let permissions = json!({ "publish": publish, "subscribe": [subscribe] });
    let user = json!({ "user": "me", "password": "secret", "permissions": permissions });
    let mut server =
        NatsServer::new()?.with_store().configured(json!({ "authorization": { "users": [user] } }).to_string());
    server.start().await;
    Some(server)
}

fn plan(server: &NatsServer, machine: &str) -> Plan {
    let url = format!("nats://me:secret@{}", server.addr());
    let join = Some((url, machine.to_owned()));
    Plan { bus: true, join, remote_commands: true, control: Some(machine.to_owned()), ..Plan::nodes(1) }
}

#[tokio::test]
async fn what_the_docs_list_is_enough_for_everything() {
    let Some(server) = server(SUBSCRIBE, &PUBLISH).await else { return };
    within(180, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        knows(&alpha, "alpha", 2).await;
        knows(&beta, "beta", 2).await;
        let (at_alpha, at_beta) = (first(&mut alpha).await, first(&mut beta).await);
        reaches(&alpha, &at_alpha, &mut beta, "of-alpha").await;
        reaches(&beta, &at_beta, &mut alpha, "of-beta").await;
        asks(&mut alpha, "at-beta/0", |answer| answer["id"].is_string()).await;
        assert_eq!(session(&mut alpha, "create", "a", "one").await, json!(true));
        assert_eq!(session(&mut beta, "load", "a", "-").await, json!("one"));
        assert_eq!(session(&mut beta, "delete", "a", "-").await, json!(true));
        lead(&mut alpha).await;
        let (_, token) = term(&mut [&mut alpha], 0).await;
        let request = Request::ReloadMachine { machine: "alpha".to_owned() };
        let report = client(&beta, "beta").await.ask::<ReloadReport>(&request).await.expect("it reloads");
        assert_eq!(report.slots.len(), 1);
        lead(&mut beta).await;
        term(&mut [&mut alpha, &mut beta], token).await;
        for program in [alpha, beta] {
            let mut program = program;
            let status = program.status_where(|status| status.gateway.as_ref().is_some_and(|now| now.connected)).await;
            assert_eq!(status.gateway.expect("it has one").error, None);
            program.stop().await;
        }
        assert!(!server.log().contains("iolation"), "{}", server.log());
    })
    .await;
}

/// The status and the log of a machine say that this is refused.
async fn says(program: &mut Program, refused: &str) {
    let shows = |error: &Option<String>| error.as_ref().is_some_and(|error| error.contains(refused));
    program.status_where(|status| status.gateway.as_ref().is_some_and(|now| shows(&now.error))).await;
    program.logged(refused).await;
    assert!(!program.log().contains("secret"), "{}", program.log());
}

/// What is refused to a machine that may do this.
async fn alone(subscribe: &str, publish: &[&str], cluster: &str, refused: &str) -> Option<(NatsServer, Program)> {
    let server = server(subscribe, publish).await?;
    let join_by = JoinPlan { cluster: Some(cluster.to_owned()), ..JoinPlan::default() };
    let mut program = Program::serving(Plan { join_by, ..plan(&server, "alpha") }).await;
    if refused.contains("mn.") {
        says(&mut program, refused).await;
    }
    Some((server, program))
}

fn is_error(answer: &Value) -> bool {
    answer["error"].is_string()
}

#[tokio::test]
async fn without_a_permission_the_machine_serves_and_says_what_is_refused() {
    for (subscribe, publish, cluster, refused) in [
        ("mn.other.>", &PUBLISH[..], "test", "Permissions Violation for Subscription to \"mn.test."),
        (SUBSCRIBE, &PUBLISH[1..], "test", "Permissions Violation for Publish to \"mn.test."),
        (SUBSCRIBE, &PUBLISH[..], "another", " to \"mn.another."),
    ] {
        let work = within(60, alone(subscribe, publish, cluster, refused));
        let Some((_server, program)) = work.await else { return };
        program.stop().await;
    }
}

#[tokio::test]
async fn without_a_permission_of_a_bucket_its_operations_are_errors_soon() {
    for (publish, refused) in [
        (&PUBLISH[..1], "Permissions Violation for Publish to \"$JS.API."),
        (&PUBLISH[..2], "Permissions Violation for Publish to \"$KV.mn-test-sessions."),
    ] {
        within(90, async {
            let Some((_server, mut program)) = alone(SUBSCRIBE, publish, "test", refused).await else { return };
            let answer = until(&mut program, "/joined/create/a/60000/x", |answer| {
                is_error(answer) && !answer["error"].as_str().is_some_and(|error| error.contains("NATS is not there"))
            });
            println!("{}", answer.await);
            says(&mut program, refused).await;
            program.stop().await;
        })
        .await;
    }
}
