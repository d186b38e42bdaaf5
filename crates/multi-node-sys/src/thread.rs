//! How the kernel schedules the calling thread (sched(7)).

use rustix::process::{getpriority_process, setpriority_process};
use thread_priority::unix::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};
use thread_priority::{ThreadPriority, set_thread_priority_and_policy, thread_native_id};

/// Lets the calling thread interrupt no other when it is woken (`SCHED_BATCH`). Where that is forbidden it stays as it is.
pub fn interrupt_nobody() {
    let Ok(nice) = getpriority_process(None) else { return };
    let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    // The crate sets a nice value too. The least one is refused, or else it can always be taken back.
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Max, batch);
    let _ = setpriority_process(None, nice);
}
