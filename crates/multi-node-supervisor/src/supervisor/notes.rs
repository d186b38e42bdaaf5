//! What the master does with what is noticed of programs that do not link this crate.

use super::fleet::Event;
use super::foreign::{self, Note};
use super::run::{Supervisor, TARGET};
use crate::id::NodeId;
use crate::log_buffer::Source;
use crate::status::ReadyBy;

/// The number of a node's last lines that may tell why it has ended.
const LAST_LINES: usize = 20;

/// What an address that is taken says of a node.
const IN_USE: &str = "a node that binds an address itself does not use the socket that all nodes share";

/// What a success says of a node that has not served.
const BACKGROUND: &str = "a server that puts itself into the background has to be told to stay in the foreground";

impl Supervisor {
    pub(super) fn noted(&mut self, id: NodeId, note: Note) -> Option<Event> {
        Some(match note {
            // What links this crate speaks of itself by its own means.
            Note::Ready(_)
            | Note::Unready(_)
            | Note::Lacks(_)
            | Note::Hopeless(_)
            | Note::Stopping
            | Note::Disconnected
            | Note::Ended { .. }
                if self.members.is_welcome(id) =>
            {
                return None;
            }
            Note::Ready(by) => return self.noted_ready(id, by),
            Note::Unready(why) => {
                return self.members.attendance(id)?.is_watched().then_some(Event::Unready { id, why });
            }
            Note::Lacks(lacks) => Event::Runs { id, lacks },
            Note::Hopeless(why) => Event::Hopeless { id, why },
            Note::Status(text) => {
                self.members.attendance(id)?.seen.said = Some(text);
                Event::Beat { id }
            }
            Note::Beat | Note::Listens => Event::Beat { id },
            Note::Preload(loaded) => {
                self.members.preload(id, loaded);
                return None;
            }
            Note::Hangs => Event::Broken { id, why: "it says that it hangs (WATCHDOG=trigger)".to_owned() },
            Note::Stopping => {
                self.members.attendance(id)?.draining = true;
                Event::Leaving { id }
            }
            Note::Disconnected => {
                if self.members.disconnected(id) {
                    return None;
                }
                Event::Leaving { id }
            }
            Note::Ended { well } => return self.noted_end(id, well),
            Note::Extend(by) => Event::Extended { id, by },
            Note::MainPid(pid) => {
                self.members.name_main(id, pid);
                Event::Beat { id }
            }
        })
    }

    /// A server that has not served yet is not meant to end, least of all with success. What it wrote last may tell why.
    fn noted_end(&mut self, id: NodeId, well: bool) -> Option<Event> {
        let written = self.log_buffer.last_of(id, Source::Stderr, LAST_LINES);
        let attendance = self.members.attendance(id)?;
        if attendance.seen.ready_by.is_some() {
            return None;
        }
        let in_use = |line| format!("it says: {line}; {IN_USE}: {}", foreign::advice(&[attendance.words().to_vec()]));
        let in_use = foreign::in_use(&written).map(in_use);
        let background = || well.then(|| BACKGROUND.to_owned());
        let last = || foreign::last_line(&written).map(|line| format!("its last line of standard error: {line}"));
        in_use.or_else(background).or_else(last).map(|why| Event::Failed { id, why })
    }

    /// Several signs may come, of which the first counts.
    pub(super) fn noted_ready(&mut self, id: NodeId, by: ReadyBy) -> Option<Event> {
        let member = self.members.get_mut(id)?;
        let pid = member.info.pid();
        let attendance = member.attendance.as_mut()?;
        let by = attendance.becomes_ready(by)?;
        // Of others nobody asks whether they stay so.
        if !self.fleet.has_to_prove_itself(id) {
            attendance.settled();
        }
        crate::log::info!(target: TARGET, %id, pid, "taken for ready: {by}");
        Some(Event::Ready { id })
    }
}
