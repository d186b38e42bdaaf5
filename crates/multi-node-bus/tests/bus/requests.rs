//! Requests: who answers, and every way in which no answer comes.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use multi_node_bus::{Bus, BusLimits, Payload, Request, RequestError, RespondError, Target};
use multi_node_fleet::id::Slot;
use tokio::sync::{Notify, Semaphore};

use crate::world::{World, id, limits, text, until, within};

fn echo(bus: &Bus) {
    bus.respond("echo", |request: Request| async { Ok::<_, String>(request.payload) }).unwrap();
}

/// A handler that answers with its process's id.
fn who(bus: &Bus) {
    let me = bus.me();
    bus.respond("who", move |_| async move { Ok::<_, String>(text(me)) }).unwrap();
}

/// A handler that never answers, and how many of it run.
fn never(bus: &Bus) -> Arc<AtomicUsize> {
    let running = Arc::new(AtomicUsize::new(0));
    let count = running.clone();
    bus.respond("never", move |_| {
        let running = Running::new(&count);
        async move {
            let _running = running;
            std::future::pending::<Result<Payload, String>>().await
        }
    })
    .unwrap();
    running
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Running {
        count.fetch_add(1, Ordering::SeqCst);
        Running(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_id_a_slot_or_any_answers() {
    let (_world, buses) = World::of(3);
    buses.iter().for_each(who);
    for to in [Target::Id(id(2)), Target::Slot(Slot(2))] {
        assert_eq!(buses[0].request("who", text("?")).to(to).await.unwrap(), text("node-2"));
    }
    assert_eq!(buses[0].request("who", text("?")).to(id(1)).await.unwrap(), text("node-1"), "itself");
    assert_eq!(buses[0].request("who", text("?")).to(Slot(1)).await.unwrap(), text("node-1"), "itself");
    assert_eq!(buses[0].request_all("who", text("?")).await.len(), 3);
    let mut by = std::collections::BTreeMap::new();
    for _ in 0..30 {
        *by.entry(buses[0].request("who", text("?")).await.unwrap().as_text().into_owned()).or_insert(0) += 1;
    }
    assert_eq!(by.len(), 3, "equals take turns: {by:?}");
}

#[tokio::test]
async fn a_process_without_peers_answers_itself() {
    let bus = Bus::new(id(1), limits());
    echo(&bus);
    assert_eq!(bus.request("echo", text("a")).await.unwrap(), text("a"));
    assert_eq!(bus.request_all("echo", text("a")).await[&id(1)], Ok(text("a")));
    let missing = bus.request("missing", text("a")).await.unwrap_err();
    assert_eq!(missing, RequestError::NoHandler { name: "missing".to_owned(), target: Target::Any });
}

#[tokio::test]
async fn nodes_and_handlers_that_are_not_there() {
    let (_world, buses) = World::of(2);
    buses[0].joined(id(9), None, false);
    let ask = |to: Target| buses[0].request("missing", text("?")).to(to);
    let no_handler = |target| RequestError::NoHandler { name: "missing".to_owned(), target };
    assert_eq!(ask(Target::Id(id(5))).await.unwrap_err(), RequestError::NoSuchNode(Target::Id(id(5))));
    assert_eq!(ask(Target::Slot(Slot(5))).await.unwrap_err(), RequestError::NoSuchNode(Target::Slot(Slot(5))));
    for target in [Target::Id(id(2)), Target::Id(id(1)), Target::Any, Target::Id(id(9))] {
        assert_eq!(within("at once", async { ask(target).await }).await.unwrap_err(), no_handler(target));
    }
    assert_eq!(buses[0].counts().requests_timed_out, 0);
}

#[tokio::test]
async fn handlers_come_and_go() {
    let (_world, buses) = World::of(2);
    let ask = || buses[0].request("echo", text("a"));
    assert!(ask().await.is_err());
    echo(&buses[1]);
    within("it is known", async { while ask().await.is_err() {} }).await;
    assert!(buses[1].stop_responding("echo"));
    assert!(!buses[1].stop_responding("echo"));
    within("it is gone", async { while ask().await.is_ok() {} }).await;
    echo(&buses[1]);
    let again = buses[1].respond("echo", |request: Request| async { Ok::<_, String>(request.payload) });
    assert_eq!(again.unwrap_err(), RespondError::Exists("echo".to_owned()));
    let long = buses[1].respond(&"n".repeat(256), |request: Request| async { Ok::<_, String>(request.payload) });
    assert_eq!(long.unwrap_err(), RespondError::Name(256));
}

#[tokio::test]
async fn a_handlers_error_and_panic_reach_the_asker() {
    let (_world, buses) = World::of(2);
    for bus in &buses {
        bus.respond("fails", |_| async { Err::<Payload, _>("no such picture") }).unwrap();
        bus.respond("panics", |_| async { panic!("a handler's defect") as Result<Payload, String> }).unwrap();
        bus.respond("panics-early", |_| -> std::future::Ready<Result<Payload, String>> { panic!("a defect") }).unwrap();
    }
    for to in [id(1), id(2)] {
        let ask =
            async |name| within(name, async { buses[0].request(name, text("?")).to(to).await }).await.unwrap_err();
        assert_eq!(ask("fails").await, RequestError::Failed("no such picture".to_owned()));
        assert_eq!(ask("panics").await, RequestError::Panicked);
        assert_eq!(ask("panics-early").await, RequestError::Panicked);
    }
    assert_eq!(buses[1].counts().handler_panics, 2);
    assert_eq!(buses[0].counts().requests_waiting + buses[0].counts().requests_running, 0);
}

#[tokio::test]
async fn a_deadline_applies_and_travels() {
    let (_world, buses) = World::of(2);
    for (bus, to) in [(&buses[0], id(1)), (&buses[1], id(2))] {
        let running = never(bus);
        let timeout = Duration::from_millis(40);
        let result = buses[0].request("never", text("?")).to(to).timeout(timeout).await;
        assert_eq!(result.unwrap_err(), RequestError::TimedOut(timeout));
        until("the handler has ended", || running.load(Ordering::SeqCst) == 0).await;
        until("it is not counted any longer", || bus.counts().requests_running == 0).await;
    }
    let (remaining, mut told) = tokio::sync::mpsc::channel(1);
    buses[1]
        .respond("deadline", move |request: Request| {
            let remaining = remaining.clone();
            async move {
                remaining.send(request.deadline - tokio::time::Instant::now()).await.unwrap();
                Ok::<_, String>(request.payload)
            }
        })
        .unwrap();
    let call = async { buses[0].request("deadline", text("?")).to(id(2)).timeout(Duration::from_secs(3)).await };
    within("the handler is known", async { while call_again(&buses[0]).await.is_err() {} }).await;
    told.recv().await.unwrap();
    call.await.unwrap();
    let remaining = told.recv().await.unwrap();
    assert!(remaining <= Duration::from_secs(3) && remaining > Duration::from_secs(1), "{remaining:?}");
}

async fn call_again(bus: &Bus) -> Result<Payload, RequestError> {
    bus.request("deadline", text("?")).to(id(2)).await
}

#[tokio::test]
async fn a_link_that_is_never_made_times_out() {
    let world = World::default();
    world.withhold_links();
    let (a, _b) = (world.add(1, limits()), world.add(2, limits()));
    for target in [Target::Any, Target::Id(id(2))] {
        let result = a.request("echo", text("?")).to(target).timeout(Duration::from_millis(20)).await;
        assert!(matches!(result, Err(RequestError::TimedOut(_))));
    }
    assert_eq!(a.counts().requests_timed_out, 2);
}

#[tokio::test]
async fn the_end_of_a_process_and_of_a_link_end_its_requests_at_once() {
    let (world, buses) = World::of(3);
    for number in [2, 3] {
        let bus = &buses[usize::try_from(number).unwrap() - 1];
        let running = never(bus);
        let asking = buses[0].request("never", text("?")).to(id(number)).timeout(Duration::from_secs(600));
        let asking = tokio::spawn(asking.into_future());
        until("it runs", || running.load(Ordering::SeqCst) == 1).await;
        if number == 2 {
            world.cut(1, 2);
        } else {
            world.kill(3);
        }
        assert_eq!(within("gone", asking).await.unwrap().unwrap_err(), RequestError::Gone(id(number)));
        until("whose asker is gone is not run", || running.load(Ordering::SeqCst) == 0).await;
    }
    let result = within("at once", async { buses[0].request("never", text("?")).to(id(3)).await }).await;
    assert_eq!(result.unwrap_err(), RequestError::NoSuchNode(Target::Id(id(3))));
}

#[tokio::test]
async fn a_process_that_ends_before_its_link_is_made_is_no_such_node() {
    let world = World::default();
    world.withhold_links();
    let (a, _b) = (world.add(1, limits()), world.add(2, limits()));
    let asking = tokio::spawn(a.request("echo", text("?")).to(id(2)).timeout(Duration::from_secs(600)).into_future());
    tokio::task::yield_now().await;
    world.kill(2);
    let result = within("at once", asking).await.unwrap();
    assert_eq!(result.unwrap_err(), RequestError::NoSuchNode(Target::Id(id(2))));
}

#[tokio::test]
async fn dropping_a_request_cancels_it() {
    let (_world, buses) = World::of(2);
    for (bus, to) in [(&buses[0], id(1)), (&buses[1], id(2))] {
        let running = never(bus);
        let asking = tokio::spawn(buses[0].request("never", text("?")).to(to).into_future());
        until("it runs", || running.load(Ordering::SeqCst) == 1).await;
        asking.abort();
        until("it was aborted", || running.load(Ordering::SeqCst) == 0).await;
        until("nothing is left", || {
            let (ours, theirs) = (buses[0].counts(), bus.counts());
            ours.requests_waiting + theirs.requests_running == 0
        })
        .await;
    }
    assert_eq!(buses[1].counts().requests_cancelled, 1);
}

#[tokio::test]
async fn both_sides_bound_what_is_in_flight() {
    let world = World::default();
    let asker = world.add(1, BusLimits { requests_sent: 3, ..limits() });
    let other = world.add(2, BusLimits { requests_handled: 2, ..limits() });
    never(&other);
    let ask = || asker.request("never", text("?")).to(id(2)).timeout(Duration::from_secs(600));
    let first = tokio::spawn(ask().into_future());
    until("the first runs", || other.counts().requests_running == 1).await;
    let second = tokio::spawn(ask().into_future());
    until("the second runs", || other.counts().requests_running == 2).await;
    assert_eq!(ask().await.unwrap_err(), RequestError::Overloaded { remote: true });
    let third = tokio::spawn(other.request("never", text("?")).to(id(2)).into_future());
    assert_eq!(third.await.unwrap().unwrap_err(), RequestError::Overloaded { remote: false }, "its own count too");
    never(&asker);
    let own = tokio::spawn(asker.request("never", text("?")).to(id(1)).into_future());
    until("three wait", || asker.counts().requests_waiting == 3).await;
    assert_eq!(ask().await.unwrap_err(), RequestError::Overloaded { remote: false });
    assert_eq!(asker.counts().requests_overloaded, 2);
    [first, second, own].iter().for_each(tokio::task::JoinHandle::abort);
    until("all have been cancelled", || other.counts().requests_running == 0).await;
}

#[tokio::test]
async fn any_prefers_the_process_with_the_fewest_in_flight() {
    let (_world, buses) = World::of(3);
    let gate = Arc::new(Semaphore::new(0));
    for bus in &buses[1..] {
        let (me, gate) = (bus.me(), gate.clone());
        bus.respond("slow", move |_| {
            let gate = gate.clone();
            async move {
                let _turn = gate.acquire().await.unwrap();
                Ok::<_, String>(text(me))
            }
        })
        .unwrap();
    }
    let to = |number| tokio::spawn(buses[0].request("slow", text("?")).to(id(number)).into_future());
    let mut busy = vec![to(2), to(2), to(2), to(3)];
    until("they run", || buses[1].counts().requests_running + buses[2].counts().requests_running == 4).await;
    for _ in 0..2 {
        busy.push(tokio::spawn(buses[0].request("slow", text("?")).into_future()));
        tokio::task::yield_now().await;
    }
    until("both go to node 3", || buses[2].counts().requests_running == 3).await;
    assert_eq!(buses[1].counts().requests_running, 3);
    gate.add_permits(100);
    for asking in busy {
        within("an answer", asking).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_draining_process_takes_requests_to_it_but_none_to_any() {
    let (_world, buses) = World::of(2);
    buses.iter().for_each(who);
    assert_eq!(buses[0].request_all("who", text("?")).await.len(), 2);
    buses[0].draining();
    for _ in 0..10 {
        assert_eq!(buses[0].request("who", text("?")).await.unwrap(), text("node-2"), "not the draining one itself");
    }
    assert_eq!(buses[1].request("who", text("?")).to(id(1)).await.unwrap(), text("node-1"));
    buses[1].draining();
    within("the peer learns of it", async { while buses[0].request("who", text("?")).await.is_ok() {} }).await;
    let newcomer = buses[1].request("who", text("?")).await.unwrap_err();
    assert!(matches!(newcomer, RequestError::NoHandler { .. }));
}

#[tokio::test]
async fn a_link_that_is_made_later_says_that_its_process_drains() {
    let (_world, buses) = World::of(2);
    who(&buses[1]);
    buses[1].draining();
    let result = buses[0].request("who", text("?")).await;
    assert_eq!(result.unwrap_err(), RequestError::NoHandler { name: "who".to_owned(), target: Target::Any });
    let slot = buses[0].request("who", text("?")).to(Slot(2)).await;
    assert_eq!(slot.unwrap(), text("node-2"));
}

#[tokio::test]
async fn in_a_slot_the_newer_process_answers() {
    let (_world, buses) = World::of(3);
    buses.iter().for_each(who);
    // Node 3 replaces node 2 in its slot.
    buses[0].joined(id(3), Some(Slot(2)), true);
    assert_eq!(buses[0].request("who", text("?")).to(Slot(2)).await.unwrap(), text("node-3"));
}

#[tokio::test]
async fn all_processes_with_the_handler_answer_or_say_why_not() {
    let (_world, buses) = World::of(5);
    who(&buses[0]);
    who(&buses[1]);
    buses[2].respond("who", |_| async { Err::<Payload, _>("not today") }).unwrap();
    let stuck = Arc::new(Notify::new());
    buses[3]
        .respond("who", move |_| {
            let stuck = stuck.clone();
            async move {
                stuck.notified().await;
                Ok::<_, String>(text("never"))
            }
        })
        .unwrap();
    let timeout = Duration::from_millis(300);
    let answers = buses[0].request_all("who", text("?")).timeout(timeout).await;
    let expected = [
        (id(1), Ok(text("node-1"))),
        (id(2), Ok(text("node-2"))),
        (id(3), Err(RequestError::Failed("not today".to_owned()))),
        (id(4), Err(RequestError::TimedOut(timeout))),
    ];
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_requests_at_once_get_each_its_own_answer() {
    let (_world, buses) = World::of(4);
    buses.iter().for_each(echo);
    let asking: Vec<_> = (0..2000)
        .map(|number| {
            let bus = buses[number % 4].clone();
            tokio::spawn(async move { (number, bus.request("echo", text(number)).await) })
        })
        .collect();
    for task in asking {
        let (number, result) = within("an answer", task).await.unwrap();
        assert_eq!(result.unwrap(), text(number));
    }
    for bus in &buses {
        until("nothing is left", || bus.counts().requests_waiting + bus.counts().requests_running == 0).await;
    }
}

#[tokio::test]
async fn large_requests_and_answers() {
    let (_world, buses) = World::of(2);
    echo(&buses[1]);
    buses[1].respond("large", |_| async { Ok::<_, String>(Payload::bytes(vec![1; 2 << 20])) }).unwrap();
    let megabyte = Payload::bytes(vec![3; 1 << 20]);
    let answers: Vec<_> =
        (0..8).map(|_| tokio::spawn(buses[0].request("echo", megabyte.clone()).to(id(2)).into_future())).collect();
    let mut overloaded = 0;
    for answer in answers {
        match within("an answer", answer).await.unwrap() {
            Ok(payload) => assert_eq!(payload, megabyte),
            Err(RequestError::Overloaded { .. }) => overloaded += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(overloaded < 8);
    let too_large = buses[0].request("echo", Payload::bytes(vec![3; (1 << 20) + 1])).await;
    assert!(matches!(too_large, Err(RequestError::TooLarge { .. })));
    let answer = buses[0].request("large", text("?")).await;
    assert!(matches!(answer, Err(RequestError::Failed(_))), "{answer:?}");
}
