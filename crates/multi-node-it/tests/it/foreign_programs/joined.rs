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

pub(super) async fn get(program: &mut Program, path: &str) -> Value {
    let node = program.at_rest().await.slots[0].id.expect("it serves").to_string();
    program.connected_to(&node).await.get(path).await.expect("an answer").json()
}

/// Does this with a session that expires in a minute.
pub(super) async fn session(program: &mut Program, operation: &str, id: &str, data: &str) -> Value {
    get(program, &format!("/joined/{operation}/{id}/60000/{data}")).await
}

/// Asks until it is answered as wanted.
pub(super) async fn until(program: &mut Program, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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
        let gateway =
            alpha.status_where(|status| status.gateway.as_ref().is_some_and(|gateway| gateway.connected)).await;
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

/// The terms of all nodes of the machine: tokens, and whether they are over.
pub(super) async fn terms(program: &mut Program) -> Vec<(u64, bool)> {
    let mut all = Vec::new();
    for slot in program.at_rest().await.slots {
        let node = slot.id.expect("it serves").to_string();
        let terms = program.connected_to(&node).await.get("/joined/terms").await.expect("an answer").json();
        all.extend(serde_json::from_value::<Vec<(u64, bool)>>(terms).expect("terms"));
    }
    all
}

/// Waits for a term that goes on, with a token above this one. There is never a second one.
pub(super) async fn term(programs: &mut [&mut Program], above: u64) -> (usize, u64) {
    loop {
        let mut going_on = Vec::new();
        for (index, program) in programs.iter_mut().enumerate() {
            let terms = terms(program).await.into_iter().filter(|(_, over)| !over);
            going_on.extend(terms.map(|(token, _)| (index, token)));
        }
        assert!(going_on.len() <= 1, "two at once: {going_on:?}");
        if let [(index, token)] = going_on[..]
            && token > above
        {
            return (index, token);
        }
    }
}

pub(super) async fn lead(program: &mut Program) {
    for slot in program.at_rest().await.slots {
        let node = slot.id.expect("it serves").to_string();
        assert_eq!(program.connected_to(&node).await.get("/joined/lead").await.expect("an answer").json(), json!(true));
    }
}

#[tokio::test]
async fn one_process_of_all_machines_leads_and_each_term_has_a_higher_token() {
    let Some(mut server) = server().await else { return };
    within(180, async {
        let (mut alpha, mut beta) = machines(&server).await;
        lead(&mut alpha).await;
        lead(&mut beta).await;
        let (leads, first) = term(&mut [&mut alpha, &mut beta], 0).await;
        // Its machine's nodes are replaced by a reload, and return it.
        let program = if leads == 0 { &mut alpha } else { &mut beta };
        assert!(program.command("reload").await["Ok"].is_object());
        lead(program).await;
        let (leads, second) = term(&mut [&mut alpha, &mut beta], first).await;
        // So does an upgrade, whose nodes are others too.
        let program = if leads == 0 { &mut alpha } else { &mut beta };
        program.upgrade().await.expect("the new program takes over");
        lead(program).await;
        let (leads, upgraded) = term(&mut [&mut alpha, &mut beta], second - 1).await;
        let holder = if leads == 0 { &mut alpha } else { &mut beta };
        holder.upgrade().await.expect("the new program takes over");
        lead(holder).await;
        let (_, second) = term(&mut [&mut alpha, &mut beta], upgraded).await;
        // While NATS is away nobody leads, and then somebody does.
        server.kill();
        while terms(&mut alpha).await.iter().chain(&terms(&mut beta).await).any(|(_, over)| !over) {}
        server.start().await;
        let (leads, third) = term(&mut [&mut alpha, &mut beta], second).await;
        // The machine ends in order, and the other one need not wait.
        let (left, mut stays) = if leads == 0 { (alpha, beta) } else { (beta, alpha) };
        left.stop().await;
        term(&mut [&mut stays], third).await;
        stays.stop().await;
    })
    .await;
}
