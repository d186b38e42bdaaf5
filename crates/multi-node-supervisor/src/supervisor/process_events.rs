//! What the master does with what is noticed of programs that do not link this crate.

use super::fleet::Event;
use super::foreign::{self, ProcessEvent};
use super::run::{Supervisor, TARGET};
use crate::id::NodeId;
use crate::log_buffer::Source;
use crate::status::ReadyBy;

/// The number of a node's last lines of output that may show why it has ended.
const LAST_LINES: usize = 20;

/// What it means if a node finds its address in use.
const IN_USE: &str = "a node that binds an address itself does not use the socket that all nodes share";

/// What it means if a node that has not served exits with success.
const BACKGROUND: &str = "a server that puts itself into the background has to be told to stay in the foreground";

impl Supervisor {
    pub(super) fn noted(&mut self, id: NodeId, note: ProcessEvent) -> Option<Event> {
        Some(match note {
            // A program that links this crate reports these on its control socket instead.
            ProcessEvent::Ready(_)
            | ProcessEvent::Unready(_)
            | ProcessEvent::Lacks(_)
            | ProcessEvent::Hopeless(_)
            | ProcessEvent::Stopping
            | ProcessEvent::Disconnected
            | ProcessEvent::Ended { .. }
                if self.members.is_welcome(id) =>
            {
                return None;
            }
            ProcessEvent::Ready(by) => return self.noted_ready(id, by),
            ProcessEvent::Unready(why) => {
                return self.members.monitor(id)?.is_watched().then_some(Event::Unready { id, why });
            }
            ProcessEvent::Lacks(lacks) => Event::Runs { id, lacks },
            ProcessEvent::Hopeless(why) => Event::Hopeless { id, why },
            ProcessEvent::Status(text) => {
                self.members.monitor(id)?.seen.said = Some(text);
                Event::Beat { id }
            }
            ProcessEvent::Beat | ProcessEvent::Listens => Event::Beat { id },
            ProcessEvent::Preload(loaded) => {
                self.members.preload(id, loaded);
                return None;
            }
            ProcessEvent::Hangs => Event::Broken { id, why: "it says that it hangs (WATCHDOG=trigger)".to_owned() },
            ProcessEvent::Stopping => {
                self.members.monitor(id)?.draining = true;
                Event::Leaving { id }
            }
            ProcessEvent::Disconnected => {
                if self.members.disconnected(id) {
                    return None;
                }
                Event::Leaving { id }
            }
            ProcessEvent::Ended { well } => return self.noted_end(id, well),
            ProcessEvent::Extend(by) => Event::Extended { id, by },
            ProcessEvent::MainPid(pid) => {
                self.members.name_main(id, pid);
                Event::Beat { id }
            }
        })
    }

    /// A server that has not served yet is not meant to end, least of all with success. What it wrote last may tell why.
    fn noted_end(&mut self, id: NodeId, well: bool) -> Option<Event> {
        let written = self.log_buffer.last_of(id, Source::Stderr, LAST_LINES);
        let monitor = self.members.monitor(id)?;
        if monitor.seen.ready_by.is_some() {
            return None;
        }
        let in_use = |line| format!("it says: {line}; {IN_USE}: {}", foreign::advice(&[monitor.words().to_vec()]));
        let in_use = foreign::in_use(&written).map(in_use);
        let background = || well.then(|| BACKGROUND.to_owned());
        let last = || foreign::last_line(&written).map(|line| format!("its last line of standard error: {line}"));
        in_use.or_else(background).or_else(last).map(|why| Event::Failed { id, why })
    }

    /// Several signs may come; the first counts.
    pub(super) fn noted_ready(&mut self, id: NodeId, by: ReadyBy) -> Option<Event> {
        let member = self.members.get_mut(id)?;
        let pid = member.info.pid();
        let monitor = member.monitor.as_mut()?;
        let by = monitor.becomes_ready(by)?;
        // Only new nodes that have to prove themselves are watched further.
        if !self.fleet.has_to_prove_itself(id) {
            monitor.settled();
        }
        crate::log::info!(target: TARGET, %id, pid, "taken for ready: {by}");
        Some(Event::Ready { id })
    }
}
