//! Random histories, held against what must always be true.

mod audit;

use std::time::Duration;

use proptest::prelude::*;

use self::audit::{Audit, Word};
use super::world::{millis, policy, secs};
use super::{Canary, CrashLoop, Limits, Policy, Recycling};
use crate::command::Command;
use crate::id::{NodeId, Slot};
use crate::status::Exit;

/// One thing that happens in the world.
#[derive(Clone, Debug)]
enum Step {
    /// The oldest look-up, or trial, or spawn, or examination that is waited for is answered.
    Resolve(Result<(), String>),
    Preflight(Result<(), String>),
    Spawn(Result<(), String>),
    Examine {
        traced: bool,
    },
    /// Some node says something, sensible or not; also dead ones and some that never were.
    Says(prop::sample::Index, Word),
    /// The next deadline comes.
    Due,
    Pass(Duration),
    Stall(Duration),
    /// The clock jumps, ahead or back.
    Jump(Duration, bool),
    Command(Command),
    /// A node's request count, its failed requests, or its memory.
    Counted(prop::sample::Index, u64, u64),
    Weighed(prop::sample::Index, u64),
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        6 => Just(Word::Hello),
        6 => Just(Word::Ready),
        1 => Just(Word::Unready),
        8 => Just(Word::ComesUp),
        2 => Just(Word::Failed),
        2 => Just(Word::Beat),
        1 => Just(Word::Extended),
        2 => Just(Word::Leaving),
        1 => Just(Word::Drained),
        1 => Just(Word::Broken),
        3 => Just(Word::SeeksLease),
        2 => Just(Word::ReturnsLease),
        1 => any::<bool>().prop_map(|traced| Word::Examined { traced }),
        4 => prop_oneof![Just(Exit::Code(0)), Just(Exit::Code(1)), Just(Exit::Signal(9)), Just(Exit::Signal(15))]
            .prop_map(Word::Exits),
    ]
}

fn result() -> impl Strategy<Value = Result<(), String>> {
    prop_oneof![9 => Just(Ok(())), 1 => Just(Err(String::from("no")))]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => Just(Command::Reload),
        2 => Just(Command::ReloadNow),
        4 => Just(Command::Upgrade),
        6 => (0_u16..7).prop_map(|slot| Command::Restart { slot: slot.into() }),
        6 => (0_usize..7).prop_map(|nodes| Command::Scale { nodes }),
        1 => prop::option::of(0_u16..7).prop_map(|slot| Command::Signal { slot: slot.map(Slot), signal: 10 }),
        1 => any::<bool>().prop_map(|now| Command::Shutdown { now }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => result().prop_map(Step::Resolve),
        3 => result().prop_map(Step::Preflight),
        8 => result().prop_map(Step::Spawn),
        2 => any::<bool>().prop_map(|traced| Step::Examine { traced }),
        16 => (any::<prop::sample::Index>(), word()).prop_map(|(who, word)| Step::Says(who, word)),
        3 => Just(Step::Due),
        2 => (0_u64..20_000).prop_map(|ms| Step::Pass(millis(ms))),
        1 => (0_u64..60_000).prop_map(|ms| Step::Stall(millis(ms))),
        1 => (0_u64..(400 * 24 * 3600)).prop_map(|seconds| Step::Jump(secs(seconds), true)),
        1 => (0_u64..60).prop_map(|seconds| Step::Jump(secs(seconds), false)),
        2 => command().prop_map(Step::Command),
        3 => (any::<prop::sample::Index>(), 0_u64..2000, 0_u64..100)
            .prop_map(|(who, requests, errors)| Step::Counted(who, requests, errors)),
        1 => (any::<prop::sample::Index>(), 0_u64..2000).prop_map(|(who, bytes)| Step::Weighed(who, bytes)),
    ]
}

const CANARY: Canary = Canary { duration: Duration::from_secs(5), limits: Limits { min_requests: 100, margin: 0.01 } };

fn recycling() -> impl Strategy<Value = Recycling> {
    let limit = || prop::option::of(Just(1000));
    (limit(), prop::option::of(Just(secs(3600))), limit(), 0.0..1.0)
        .prop_map(|(max_requests, max_age, max_memory, jitter)| Recycling { max_requests, max_age, max_memory, jitter })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let sizes = (1_usize..5, 0_usize..4, 1_usize..6);
    let proof = (any::<bool>(), prop_oneof![Just(Duration::ZERO), Just(secs(3))]);
    (sizes, proof, prop::bool::weighted(0.8), any::<bool>(), any::<bool>(), recycling(), any::<bool>()).prop_map(
        |((nodes, surge, deaths), (rolling, settle), restart, watched, delayed, recycling, tried)| Policy {
            rolling,
            settle,
            recycling,
            canary: (tried && surge > 0).then_some(CANARY),
            surge,
            restart,
            crash_loop: CrashLoop { deaths, within: secs(60) },
            hang_timeout: watched.then(|| secs(10)),
            shutdown_delay: if delayed { secs(5) } else { Duration::ZERO },
            max_nodes: 5,
            ..policy(nodes)
        },
    )
}

fn live_through(audit: &mut Audit, history: Vec<Step>) {
    for step in history {
        match step {
            Step::Resolve(result) => audit.answer_resolve(result),
            Step::Preflight(result) => audit.answer_preflight(result),
            Step::Spawn(result) => audit.answer_spawn(result),
            Step::Examine { traced } => audit.answer_examine(traced),
            Step::Says(who, word) => audit.says(who, word),
            Step::Due => audit.due(),
            Step::Pass(time) => audit.pass(time),
            Step::Stall(by) => audit.stall(by),
            Step::Jump(by, ahead) => audit.jump(by, ahead),
            Step::Command(command) => audit.command(command),
            Step::Counted(who, requests, errors) => audit.counted(who, requests, errors),
            Step::Weighed(who, bytes) => audit.weighed(who, bytes),
        }
    }
}

/// The number of serving nodes never falls below that at the start of the reload. The canary does not count, since it runs
/// beside the old nodes. A refused command is no new start.
#[test]
fn a_trial_is_rolled_back_after_a_command_was_refused() {
    let mut audit = Audit::started(Policy { surge: 1, canary: Some(CANARY), ..policy(2) }, 0);
    let canary = NodeId::node(3);
    audit.answer_resolve(Ok(()));
    audit.command(Command::Reload);
    audit.answer_spawn(Ok(()));
    audit.answer_spawn(Ok(()));
    audit.answer_resolve(Ok(()));
    audit.node_counted(NodeId::MASTER, 0, 0);
    audit.answer_spawn(Ok(()));
    audit.node_says(canary, Word::ComesUp);
    audit.command(Command::Scale { nodes: 0 });
    audit.node_counted(canary, 100, 5);
    audit.comes_to_rest();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each step is checked against the invariants of [`Audit`]. Once the world stops causing failures, the fleet comes to
    /// rest with every command answered, and still obeys commands.
    #[test]
    fn the_invariants_hold_and_no_fleet_is_stuck(
        policy in any_policy(),
        seed in any::<u64>(),
        history in prop::collection::vec(step(), 0..150),
    ) {
        let mut audit = Audit::started(policy, seed);
        live_through(&mut audit, history);
        audit.comes_to_rest();
        audit.command(Command::Reload);
        audit.comes_to_rest();
        audit.command(Command::Upgrade);
        audit.comes_to_rest();
        audit.command(Command::Shutdown { now: false });
        audit.comes_to_rest();
        audit.is_over();
    }

    /// The same history gives the same actions.
    #[test]
    fn the_rules_are_deterministic(history in prop::collection::vec(step(), 0..60), seed in any::<u64>()) {
        let run = || {
            let mut audit = Audit::started(policy(3), seed);
            live_through(&mut audit, history.clone());
            audit.seen
        };
        prop_assert_eq!(run(), run());
    }
}
