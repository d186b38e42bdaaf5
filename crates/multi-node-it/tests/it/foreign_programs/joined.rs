//! What machines have in common in the buckets of a real NATS server: two machines, which are two programs of this one.

use multi_node_it::nats::NatsServer;
use multi_node_it::{Plan, Program, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};

fn plan(server: &NatsServer, machine: &str) -> Plan {
    Plan { bus: true, join: Some((server.url(), machine.to_owned())), ..Plan::nodes(2) }
}

async fn server() -> Option<NatsServer> {
    let mut server = NatsServer::new()?.with_store();
    server.start().await;
    Some(server)
}

async fn machines(server: &NatsServer) -> (Program, Program) {
    tokio::join!(Program::serving(plan(server, "alpha")), Program::serving(plan(server, "beta")))
}

async fn get(program: &mut Program, path: &str) -> Value {
    let node = program.at_rest().await.slots[0].id.expect("it serves").to_string();
    program.connected_to(&node).await.get(path).await.expect("an answer").json()
}

/// Does this with a session that expires in a minute.
async fn session(program: &mut Program, operation: &str, id: &str, data: &str) -> Value {
    get(program, &format!("/joined/{operation}/{id}/60000/{data}")).await
}

/// Asks until it is answered as wanted.
async fn until(program: &mut Program, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let answer = get(program, path).await;
        if wanted(&answer) {
            return answer;
        }
    }
}

fn fails(answer: &Value, with: &str) -> bool {
    answer["error"].as_str().is_some_and(|error| error.contains(with))
}

#[tokio::test]
async fn machines_share_sessions_and_say_when_they_cannot() {
    let Some(mut server) = server().await else { return };
    within(180, async {
        let (mut alpha, mut beta) = machines(&server).await;
        until(&mut alpha, "/joined/load/a/0/-", Value::is_null).await;
        assert_eq!(session(&mut alpha, "create", "a", "one").await, json!(true));
        until(&mut beta, "/joined/load/a/0/-", |answer| *answer == json!("one")).await;
        assert_eq!(session(&mut beta, "create", "a", "two").await, json!(false), "the id is in use");
        assert_eq!(session(&mut beta, "save", "a", "three").await, json!(true));
        assert_eq!(session(&mut alpha, "touch", "a", "-").await, json!(true));
        assert_eq!(session(&mut alpha, "load", "a", "-").await, json!("three"), "seen at once");
        assert_eq!(get(&mut alpha, "/joined/touch/a/-1/-").await, json!(true), "it expires");
        assert_eq!(session(&mut beta, "load", "a", "-").await, Value::Null);
        assert_eq!(session(&mut beta, "save", "a", "late").await, json!(false));
        assert_eq!(session(&mut beta, "create", "a", "new").await, json!(true), "the id is free");
        assert_eq!(session(&mut alpha, "delete", "a", "-").await, json!(true));
        assert_eq!(session(&mut beta, "save", "a", "late").await, json!(false), "a log-out stays");
        assert_eq!(session(&mut beta, "load", "a", "-").await, Value::Null);
        // A gateway that is killed delays, and loses nothing.
        assert_eq!(session(&mut alpha, "create", "b", "kept").await, json!(true));
        let gateway = alpha.status_where(|status| status.gateway.is_some_and(|gateway| gateway.connected)).await;
        send(gateway.gateway.and_then(|gateway| gateway.pid).expect("a process"), Signal::KILL);
        until(&mut alpha, "/joined/load/b/0/-", |answer| *answer == json!("kept")).await;
        // Without NATS nothing is kept, and nothing is made up.
        server.kill();
        until(&mut alpha, "/joined/load/b/0/-", |answer| fails(answer, "NATS is not there")).await;
        let refused = session(&mut alpha, "create", "c", "local").await;
        assert!(
            fails(&refused, "sessions: cannot create a session that machines share: NATS is not there"),
            "{refused}"
        );
        server.start().await;
        until(&mut beta, "/joined/load/b/0/-", |answer| *answer == json!("kept")).await;
        assert_eq!(session(&mut beta, "load", "c", "-").await, Value::Null, "never merged");
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_jetstream_the_error_says_so() {
    let Some(mut server) = NatsServer::new() else { return };
    server.start().await;
    within(60, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        until(&mut alpha, "/joined/load/a/0/-", |answer| fails(answer, "cannot make the bucket mn-")).await;
        alpha.stop().await;
    })
    .await;
}
