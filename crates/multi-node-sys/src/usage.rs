//! The resources that a process and its descendants use, from /proc (proc(5)).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::process::family;

/// The kernel counts processor time for /proc in hundredths of a second on every architecture that Rust's std supports.
const TICK: Duration = Duration::from_millis(10);

/// For its share of shared pages the kernel walks a process's page tables, which takes about 10 ms for each GiB. After this
/// time the rest of a family is counted in a cheaper way.
const PATIENCE: Duration = Duration::from_millis(100);

/// Processor time and memory of a process and of all that descend from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In user and kernel mode, since each of them began; children that have ended and were waited for are included.
    pub cpu: Option<Duration>,
    /// In bytes in RAM; see [`memory`].
    pub memory: Option<u64>,
}

/// What the process and its descendants use. Empty for a process that has ended.
pub fn usage(pid: u32) -> Usage {
    let family = family(pid);
    Usage { cpu: sum(&family, |folder| cpu(&fs::read_to_string(folder.join("stat")).ok()?)), memory: of_all(&family) }
}

/// The memory of the process and its descendants, in bytes in RAM.
///
/// That is the sum of their PSS, in which a page that several processes have counts for each in proportion: workers that
/// were forked share most of theirs. Where PSS cannot be had, it is RSS without the pages that may be shared, so such pages
/// are not counted at all.
pub fn memory(pid: u32) -> Option<u64> {
    of_all(&family(pid))
}

fn of_all(family: &[u32]) -> Option<u64> {
    let begun = Instant::now();
    sum(family, |folder| {
        let rollup = || fs::read_to_string(folder.join("smaps_rollup")).ok();
        let share = if begun.elapsed() < PATIENCE { rollup().as_deref().and_then(pss) } else { None };
        share.or_else(|| unshared(&fs::read_to_string(folder.join("statm")).ok()?))
    })
}

/// The sum over all for which there is a value; `None` where there is none for the first.
fn sum<T: std::ops::Add<Output = T>>(family: &[u32], of: impl Fn(&Path) -> Option<T>) -> Option<T> {
    let mut values = family.iter().map(|pid| of(&PathBuf::from(format!("/proc/{pid}"))));
    let first = values.next()??;
    Some(values.flatten().fold(first, T::add))
}

/// The processor time of one process and of its children that have ended.
pub fn cpu_of(pid: u32) -> Option<Duration> {
    cpu(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// utime, stime, cutime and cstime, from the twelfth field after the name on, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let times = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11).take(4);
    let ticks = times.map(|ticks| ticks.parse::<u32>().ok()).collect::<Option<Vec<_>>>()?;
    let ticks = ticks.into_iter().try_fold(0_u32, u32::checked_add)?;
    (stat.split_whitespace().count() > 16).then_some(TICK * ticks)
}

fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// `size resident shared …`, in pages (proc_pid_statm(5)).
fn unshared(statm: &str) -> Option<u64> {
    let mut pages = statm.split(' ').skip(1).map(|pages| pages.parse::<u64>().ok());
    let (resident, shared) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(shared).saturating_mul(rustix::param::page_size() as u64))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[test]
    fn times_stand_after_a_name_that_holds_anything() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 25 40 5 20 0 1 0 12345";
        assert_eq!(cpu(stat), Some(Duration::from_millis(2200)));
        for torn in ["7 (a", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194304 100 0 0 0 150 25 40"] {
            assert_eq!(cpu(torn), None, "{torn}");
        }
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(pss("00400000-7ffc ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:  417 kB\n"), Some(417 * 1024));
        assert_eq!(pss("Rss: 1 kB\n"), None);
        assert_eq!(unshared("900 30 10 1 0 20 0"), Some(20 * rustix::param::page_size() as u64));
        assert_eq!(unshared("900 30"), None);
    }

    #[test]
    fn a_process_that_has_ended_uses_nothing() {
        assert!(usage(std::process::id()).memory.is_some_and(|bytes| bytes > 4096));
        assert_eq!(usage(u32::MAX), Usage::default());
        assert_eq!(memory(u32::MAX), None);
    }

    /// A shell that has run this, reports that on its output, and waits.
    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script}; echo done; read wait")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0; 5]).expect("it says so");
        child
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }

    #[test]
    fn children_count_and_so_does_the_time_of_those_that_have_ended() {
        let alone = shell(":");
        let one = memory(alone.id()).expect("it lives");
        end(alone);
        let family = shell("sleep 60 & sleep 60 & i=0; (while [ $i -lt 200000 ]; do i=$((i+1)); done)");
        let used = usage(family.id());
        assert!(used.memory.expect("it lives") > one, "{used:?} beside {one}");
        assert!(used.cpu.expect("it lives") >= Duration::from_millis(20), "the subshell has ended: {used:?}");
        for child in super::family(family.id()).into_iter().skip(1) {
            Command::new("kill").arg(child.to_string()).status().expect("kill");
        }
        end(family);
    }

    #[test]
    fn memory_counts_once_it_is_written_to() {
        let before = memory(std::process::id()).expect("our own");
        let large = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = memory(std::process::id()).expect("our own");
        assert!(after >= before + (60 << 20), "{} bytes written, {before} became {after}", large.len());
    }
}
