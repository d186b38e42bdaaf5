//! What the master does with what is noticed of programs that do not link this crate.

use super::fleet::Event;
use super::foreign::Note;
use super::run::{Supervisor, TARGET};
use crate::id::NodeId;
use crate::status::ReadyBy;

impl Supervisor {
    pub(super) fn noted(&mut self, id: NodeId, note: Note) -> Option<Event> {
        Some(match note {
            // What links this crate speaks of itself by its own means.
            Note::Ready(_) | Note::Unready(_) | Note::Stopping | Note::Disconnected | Note::Finished
                if self.members.is_welcome(id) =>
            {
                return None;
            }
            Note::Ready(by) => return self.noted_ready(id, by),
            Note::Unready(why) => Event::Unready { id, why },
            Note::Status(text) => {
                self.members.attendance(id)?.seen.said = Some(text);
                Event::Beat { id }
            }
            Note::Beat | Note::Listens => Event::Beat { id },
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
            Note::Finished => return self.noted_finished(id),
            Note::Extend(by) => Event::Extended { id, by },
            Note::MainPid(pid) => {
                self.members.name_main(id, pid);
                Event::Beat { id }
            }
        })
    }

    /// A server that has not served yet is not meant to end, least of all with success.
    fn noted_finished(&mut self, id: NodeId) -> Option<Event> {
        let served = self.members.attendance(id)?.seen.ready_by.is_some();
        let why = "a server that puts itself into the background has to be told to stay in the foreground".to_owned();
        (!served).then_some(Event::Failed { id, why })
    }

    /// Several signs may come, of which the first counts.
    pub(super) fn noted_ready(&mut self, id: NodeId, by: ReadyBy) -> Option<Event> {
        let member = self.members.get_mut(id)?;
        let pid = member.info.pid;
        let attendance = member.attendance.as_mut()?;
        if !attendance.becomes_ready(by) {
            return None;
        }
        // Of others nobody asks whether they stay so.
        if !self.fleet.has_to_prove_itself(id) {
            attendance.settled();
        }
        crate::log::info!(target: TARGET, %id, pid, "taken for ready: {by}");
        Some(Event::Ready { id })
    }
}
