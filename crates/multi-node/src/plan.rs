//! The settings, as the parts of the library need them.

use multi_node_process::bind::Manner;
#[cfg(multi_process)]
use {
    crate::family::{self, Run},
    multi_node_fleet::fleet::{Backoff, Canary, CrashLoop, Limits, Policy, Recycling},
    multi_node_supervisor::{Plan, SlotArgs, Start},
};

#[cfg(multi_process)]
use crate::options::ControlName;
use crate::options::Settings;

/// The share by which a pause between restarts is shorter or longer at random, so that slots do not restart in step.
#[cfg(multi_process)]
const BACKOFF_JITTER: f64 = 0.2;

/// The share by which each node's limits of requests and age are lower, at random between 0 and this, so that slots do not come due in step.
#[cfg(multi_process)]
const RECYCLE_JITTER: f64 = 0.1;

impl From<&Settings> for Manner {
    fn from(settings: &Settings) -> Manner {
        Manner {
            backlog: settings.backlog,
            unix_mode: Some(settings.unix_mode),
            nodes_are_others: settings.launch.identity.is_some(),
        }
    }
}

/// The run that this process leads.
#[cfg(multi_process)]
pub(crate) fn own_run(settings: &Settings) -> Run {
    let path = settings.control_path.as_ref().map(|path| path.display().to_string());
    // A name that another program might have identifies less than the addresses.
    let name = match &settings.control {
        ControlName::Preferred(_) if !settings.addresses.is_empty() => None,
        control => control.name(),
    };
    family::own_run(name.or(path.as_deref()), &settings.addresses)
}

/// What the supervisor goes by.
#[cfg(multi_process)]
pub(crate) fn plan(settings: &Settings) -> Plan {
    Plan {
        start: start(settings),
        run: own_run(settings),
        manner: settings.into(),
        policy: policy(settings),
        peers: settings.peers,
        signals: settings.signals,
        commands_from_nodes: settings.commands_from_nodes,
        master_listen: settings.master_listen,
        adopt_timeout: settings.adopt_timeout,
        measures: settings.metrics.is_some(),
        max_keys: settings.max_keys,
        endpoints: settings.endpoints(),
        gateway: crate::gateway_plan::plan(settings),
    }
}

#[cfg(multi_process)]
fn start(settings: &Settings) -> Start {
    let launch = settings.launch.clone();
    Start {
        program: launch.program,
        args: launch.args,
        slot_args: launch.slot_args.map(|args| SlotArgs::new(move |slot| args.of(slot))),
        started_as: launch.started_as,
        env: launch.env,
        identity: launch.identity,
        umask: launch.umask,
    }
}

/// What the rules go by, as far as the settings say.
#[cfg(multi_process)]
fn policy(settings: &Settings) -> Policy {
    let (initial, max) = settings.backoff;
    let (deaths, within) = settings.crash_loop;
    Policy {
        nodes: settings.nodes,
        max_nodes: settings.max_nodes,
        room_for: settings.max_nodes,
        restart: settings.restart,
        backoff: Backoff { initial, max, jitter: BACKOFF_JITTER },
        crash_loop: CrashLoop { deaths, within },
        rolling: settings.rolling(),
        surge: settings.surge,
        settle: settings.settle(),
        start_timeout: settings.start_timeout,
        drain_timeout: settings.drain_timeout,
        shutdown_delay: settings.shutdown_delay,
        hang_timeout: settings.silence(),
        same_program: true,
        all_beat: true,
        canary: settings.canary.map(|(duration, limits)| Canary {
            duration,
            limits: Limits { min_requests: limits.min_requests, margin: limits.margin },
        }),
        recycling: Recycling {
            max_requests: settings.max_requests,
            max_age: settings.max_age,
            max_memory: settings.max_memory,
            jitter: RECYCLE_JITTER,
        },
    }
}
