//! Three NATS servers that are one cluster: machines go on when the server is killed to which they are connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use multi_node_bus::RemoteProcess;
use multi_node_fleet::id::Slot;
use multi_node_it::nats::NatsServer;
use multi_node_it::port::Held;
use multi_node_it::{Plan, Program, within};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::joined::{lead, session, term, terms, until};
use super::machines::{connects, first, gateway};
use super::machines_chaos::{audits, has, publish};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Servers with routes to each other, whose buckets have a replica at each. The ports of the routes are held for as long.
async fn cluster() -> Option<(Vec<NatsServer>, Vec<Held>)> {
    let routes: Vec<Held> = NAMES.iter().map(|_| Held::new().expect("a port")).collect();
    let urls: Vec<String> = routes.iter().map(|route| format!("nats://{}", route.addr())).collect();
    let mut servers = Vec::new();
    for (name, route) in NAMES.iter().zip(&routes) {
        let cluster = json!({ "name": "c", "listen": route.addr().to_string(), "routes": urls });
        let config = json!({ "server_name": name, "cluster": cluster });
        servers.push(NatsServer::new()?.with_store().configured(config.to_string()));
    }
    for server in &mut servers {
        server.start().await;
    }
    for bucket in ["sessions", "leases"] {
        make_bucket(&servers[0], &format!("mn-test-{bucket}")).await;
    }
    Some((servers, routes))
}

/// As `nats kv add NAME --replicas 3` does it, once the servers have found each other.
async fn make_bucket(server: &NatsServer, name: &str) {
    let config = json!({
        "name": format!("KV_{name}"), "subjects": [format!("$KV.{name}.>")], "retention": "limits", "storage": "file",
        "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": 1, "discard": "new",
        "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true, "num_replicas": 3,
    });
    let subject = format!("$JS.API.STREAM.CREATE.KV_{name}");
    loop {
        let answer = timeout(Duration::from_secs(2), server.ask(&subject, &config)).await;
        if answer.is_ok_and(|answer| answer["error"].is_null()) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn plan(servers: &[NatsServer], machine: &str) -> Plan {
    let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
    Plan { bus: true, join: Some((urls.join(","), machine.to_owned())), ..Plan::nodes(1) }
}

/// The server to which the machine's gateway is connected.
async fn server_of(program: &mut Program, servers: &[NatsServer]) -> usize {
    let pid = gateway(program).await;
    loop {
        if let Some(index) = servers.iter().position(|server| connects(pid, server.addr().port())) {
            return index;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// How the first node of this machine is called elsewhere.
async fn remote(at: &mut Program, of: &mut Program) -> multi_node_fleet::id::NodeId {
    let number = of.at_rest().await.slots[0].id.expect("it serves").number();
    let known = until(at, "/machines", |known| known["machines"][0]["reachable"] == true).await;
    let epoch = known["machines"][0]["epoch"].as_u64().expect("a number");
    RemoteProcess { machine: "alpha".to_owned(), epoch, number, slot: Some(Slot(0)) }.id()
}

async fn is_stored(program: &mut Program, id: &str, text: &str) {
    until(program, &format!("/joined/load/{id}/0/-"), |answer| *answer == json!(text)).await;
}

#[tokio::test]
async fn machines_go_on_with_another_server_and_nothing_is_lost_unseen() {
    let Some((mut servers, _routes)) = cluster().await else { return };
    within(240, async {
        let mut alpha = Program::serving(plan(&servers, "alpha")).await;
        let mut beta = Program::serving(plan(&servers, "beta")).await;
        let publisher = remote(&mut beta, &mut alpha).await;
        let (last, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let id = first(&mut alpha).await;
        let publishing = tokio::spawn(publish(alpha.connected_to(&id).await, last.clone(), over.clone()));
        lead(&mut alpha).await;
        lead(&mut beta).await;
        let (_, mut token) = term(&mut [&mut alpha, &mut beta], 0).await;
        for round in ["first", "second"] {
            until(&mut alpha, &format!("/joined/create/{round}/60000/before"), |made| *made == json!(true)).await;
            let killed = server_of(&mut alpha, &servers).await;
            servers[killed].kill();
            is_stored(&mut beta, round, "before").await;
            is_stored(&mut alpha, round, "before").await;
            until(&mut alpha, &format!("/joined/save/{round}/60000/after"), |saved| *saved == json!(true)).await;
            is_stored(&mut beta, round, "after").await;
            assert_ne!(server_of(&mut alpha, &servers).await, killed);
            let (_, now) = term(&mut [&mut alpha, &mut beta], token - 1).await;
            println!("{round}: token {token} before, {now} after");
            token = now;
            servers[killed].start().await;
            until(&mut beta, "/machines", |known| known["machines"][0]["reachable"] == true).await;
        }
        assert_eq!(session(&mut alpha, "delete", "first", "-").await, json!(true));
        assert_eq!(session(&mut beta, "load", "first", "-").await, Value::Null);
        over.store(true, Ordering::Relaxed);
        publishing.await.expect("it publishes to the end");
        let last = last.load(Ordering::Relaxed);
        for audit in audits(&mut beta, |audit| has(audit, publisher, last)).await {
            println!("{} of {last} messages, {} missed", audit["messages"], audit["lagged"]);
            assert_eq!(audit["wrong"].as_array().map(Vec::len), Some(0), "{audit}");
        }
        println!("terms: {:?} {:?}", terms(&mut alpha).await, terms(&mut beta).await);
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}
