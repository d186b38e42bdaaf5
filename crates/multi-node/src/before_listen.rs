//! What a program has opened before `listen`, which every process does again: the rule of what is worth a warning, and the look.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

#[cfg(multi_process)]
use crate::sys::opened;

/// What the master's program had opened when it called [`listen`](crate::listen()): see
/// [`Options::warn_before_listen`](crate::Options::warn_before_listen).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BeforeListen {
    /// TCP connections, those that are being made too.
    pub connections: usize,
    /// The names of threads, as `ps -L` shows them.
    pub threads: Vec<String>,
}

/// What was found in this process.
static FOUND: OnceLock<BeforeListen> = OnceLock::new();

/// The kernel keeps so much of a thread's name, in bytes (prctl(2)).
const LONGEST_NAME: usize = 15;

/// Threads that every process may have: those of tokio's runtimes, of a logger, of an allocator.
const OF_PROCESS: [&str; 5] = ["tokio-rt-worker", "tokio-runtime-w", "tracing-appende", "jemalloc_bg_thd", "mimalloc"];

impl BeforeListen {
    /// What was found in this process, where it is worth a warning.
    pub(crate) fn found() -> Option<&'static BeforeListen> {
        FOUND.get()
    }

    /// Keeps it for [`found`](BeforeListen::found).
    pub(crate) fn keep(self) {
        let _ = FOUND.set(self);
    }

    fn of(connections: usize, mut threads: Vec<String>) -> Option<BeforeListen> {
        threads.retain(|name| !OF_PROCESS.contains(&name.as_str()));
        threads.sort_unstable();
        (connections > 0 || !threads.is_empty()).then_some(BeforeListen { connections, threads })
    }

    /// Without the threads of a runtime whose threads have such a name.
    fn without_runtime(self, name: &str) -> Option<BeforeListen> {
        let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        let (name, numbered) =
            (&name[..end], |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned());
        let others = self.threads.into_iter().filter(|thread| numbered(thread) != numbered(name));
        BeforeListen::of(self.connections, others.collect())
    }

    /// Looks. The threads of another event loop that serves look like the program's own, and do not count.
    #[cfg(multi_process)]
    pub(crate) async fn look(counts_threads: bool) -> Option<BeforeListen> {
        let threads = if counts_threads { settled_threads().await } else { Vec::new() };
        let found = BeforeListen::of(opened::tcp_connections(), threads)?;
        if found.threads.is_empty() {
            return Some(found);
        }
        // The program may have named the threads of this runtime.
        let own = tokio::task::spawn_blocking(|| std::thread::current().name().map(str::to_owned)).await;
        match own {
            Ok(Some(name)) => found.without_runtime(&name),
            Ok(None) | Err(_) => Some(found),
        }
    }
}

/// How often threads are looked at that have no name yet: each gives itself its own when it first runs.
#[cfg(multi_process)]
const LOOKS: usize = 10;

#[cfg(multi_process)]
const BETWEEN_LOOKS: std::time::Duration = std::time::Duration::from_millis(5);

/// The names of all threads but the first, once those have one that get one.
#[cfg(multi_process)]
async fn settled_threads() -> Vec<String> {
    let (process, mut threads) = (crate::sys::process::name(), opened::threads());
    for _ in 0..LOOKS {
        if !threads.contains(&process) {
            break;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
        threads = opened::threads();
    }
    let runtime = tokio::runtime::Handle::current();
    let is_one_thread = runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::CurrentThread;
    let workers = if is_one_thread { 0 } else { runtime.metrics().num_workers() };
    without_nameless_workers(threads, &process, workers)
}

/// Without those workers of a runtime that have not run yet, and are called as the process.
fn without_nameless_workers(threads: Vec<String>, process: &str, workers: usize) -> Vec<String> {
    let named = threads.iter().filter(|name| OF_PROCESS.contains(&name.as_str())).count();
    let mut missing = workers.saturating_sub(named);
    let mut is_worker = |name: &String| {
        let is = missing > 0 && name == process;
        missing -= usize::from(is);
        is
    };
    threads.into_iter().filter(|name| !is_worker(name)).collect()
}

/// `3 TCP connections and 9 threads (rayon × 8, reaper) were opened before `listen`: …`
impl fmt::Display for BeforeListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let connections = (self.connections > 0).then(|| counted(self.connections, "TCP connection"));
        let threads = (!self.threads.is_empty())
            .then(|| format!("{} ({})", counted(self.threads.len(), "thread"), named(&self.threads)));
        let found: Vec<String> = connections.into_iter().chain(threads).collect();
        let were = if self.connections + self.threads.len() == 1 { "was" } else { "were" };
        write!(f, "{} {were} opened before `listen`: code there runs in every process", found.join(" and "))
    }
}

/// The names with how often there is each.
fn named(threads: &[String]) -> String {
    let mut counts = BTreeMap::new();
    for name in threads {
        *counts.entry(name.as_str()).or_insert(0) += 1;
    }
    let shown = |(name, count): (&str, usize)| if count == 1 { name.to_owned() } else { format!("{name} × {count}") };
    counts.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn it_says_what_was_found() {
        let text = |connections, names: &[&str]| {
            BeforeListen::of(connections, threads(names)).map(|found| found.to_string()).unwrap_or_default()
        };
        assert_eq!(
            text(3, &["rayon", "reaper", "rayon"]),
            "3 TCP connections and 3 threads (rayon × 2, reaper) were opened before `listen`: code there runs in every process"
        );
        assert_eq!(text(1, &[]), "1 TCP connection was opened before `listen`: code there runs in every process");
        assert_eq!(text(0, &["r2d2"]), "1 thread (r2d2) was opened before `listen`: code there runs in every process");
    }

    #[test]
    fn workers_that_have_not_run_yet_are_no_news_either() {
        let left = |names: &[&str], workers| without_nameless_workers(threads(names), "server", workers);
        assert_eq!(left(&["server", "server", "tokio-rt-worker", "other"], 3), ["tokio-rt-worker", "other"]);
        assert_eq!(left(&["server", "server"], 1), ["server"]);
        assert_eq!(left(&["server"], 0), ["server"], "a thread without a name of its own");
    }

    #[test]
    fn a_runtime_a_logger_and_an_allocator_are_no_news() {
        assert_eq!(BeforeListen::of(0, threads(&["tokio-rt-worker", "tracing-appende", "jemalloc_bg_thd"])), None);
        let found = BeforeListen::of(0, threads(&["my-very-long-wo", "my-very-long-wo"])).expect("not known yet");
        assert_eq!(found.without_runtime("my-very-long-worker-name"), None);
        let found = BeforeListen::of(0, threads(&["worker-1", "worker-12", "other"])).expect("not known yet");
        assert_eq!(found.without_runtime("worker-3").map(|found| found.threads), Some(threads(&["other"])));
        assert_eq!(
            BeforeListen::of(2, Vec::new()).and_then(|found| found.without_runtime("x")).map(|f| f.connections),
            Some(2)
        );
    }
}
