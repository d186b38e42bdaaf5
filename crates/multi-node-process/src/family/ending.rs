//! Decides which process of a family to signal, and when, in order to end it. Pure.

use std::collections::BTreeSet;
use std::time::Instant;

use super::token::ProcessId;

/// What a process is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// The signal by which its program finishes.
    Stop,
    Kill,
}

impl Command {
    /// The signal's number; `stop` is the signal by which the program finishes.
    pub(super) fn signal(self, stop: i32) -> i32 {
        /// SIGKILL (signal(7)).
        const KILL: i32 = 9;
        match self {
            Command::Stop => stop,
            Command::Kill => KILL,
        }
    }
}

/// The end of one family: each process is asked once to finish, and killed at the deadline.
#[derive(Debug)]
pub(super) struct Ending {
    kill_at: Instant,
    told: BTreeSet<ProcessId>,
}

impl Ending {
    pub(super) fn new(kill_at: Instant) -> Ending {
        Ending { kill_at, told: BTreeSet::new() }
    }

    pub(super) fn kill_at(&self) -> Instant {
        self.kill_at
    }

    /// No more patience.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.kill_at = self.kill_at.min(now);
    }

    /// The signals to send to the processes that are left. While its main process lives, a program ends the others itself.
    pub(super) fn step(
        &mut self,
        now: Instant,
        left: &[ProcessId],
        main: Option<ProcessId>,
    ) -> Vec<(ProcessId, Command)> {
        if now >= self.kill_at {
            return left.iter().map(|process| (*process, Command::Kill)).collect();
        }
        let main = main.filter(|main| left.contains(main));
        let concerned = left.iter().filter(|process| main.is_none_or(|main| main == **process));
        concerned.filter(|process| self.told.insert(**process)).map(|process| (*process, Command::Stop)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn process(pid: u32) -> ProcessId {
        ProcessId { pid, start: 1 }
    }

    fn pids(commands: Vec<(ProcessId, Command)>) -> Vec<(u32, Command)> {
        commands.into_iter().map(|(process, command)| (process.pid, command)).collect()
    }

    #[test]
    fn the_main_process_is_told_first_and_the_others_when_it_has_ended() {
        let now = Instant::now();
        let mut ending = Ending::new(now + Duration::from_secs(10));
        let (main, worker, other) = (process(1), process(2), process(3));
        assert_eq!(pids(ending.step(now, &[main, worker], Some(main))), [(1, Command::Stop)]);
        assert_eq!(pids(ending.step(now, &[main, worker], Some(main))), [], "once is enough");
        assert_eq!(pids(ending.step(now, &[worker], Some(main))), [(2, Command::Stop)]);
        assert_eq!(pids(ending.step(now, &[worker, other], Some(main))), [(3, Command::Stop)], "a late one");
        let late = now + Duration::from_secs(10);
        assert_eq!(pids(ending.step(late, &[worker, other], None)), [(2, Command::Kill), (3, Command::Kill)]);
    }

    #[test]
    fn a_later_process_of_the_same_number_is_another() {
        let now = Instant::now();
        let mut ending = Ending::new(now + Duration::from_secs(10));
        assert_eq!(pids(ending.step(now, &[process(1)], None)), [(1, Command::Stop)]);
        assert_eq!(pids(ending.step(now, &[process(1)], None)), []);
        let later = ProcessId { start: 2, ..process(1) };
        assert_eq!(pids(ending.step(now, &[later], None)), [(1, Command::Stop)]);
        // One of the main process's number is not the main process.
        assert_eq!(pids(ending.step(now, &[process(4), later], Some(process(1)))), [(4, Command::Stop)]);
    }

    #[test]
    fn hurry_kills_at_once_and_only_ever_brings_the_deadline_forward() {
        let now = Instant::now();
        let mut ending = Ending::new(now + Duration::from_secs(10));
        ending.hurry(now + Duration::from_secs(20));
        assert_eq!(pids(ending.step(now, &[process(1)], None)), [(1, Command::Stop)]);
        ending.hurry(now);
        assert_eq!(pids(ending.step(now, &[process(1)], Some(process(1)))), [(1, Command::Kill)]);
    }
}
