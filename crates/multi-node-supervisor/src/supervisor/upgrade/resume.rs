//! The new program's loop: everything that was suspended continues.

use super::InheritedLoop;
use crate::id::NodeId;
use crate::process_links::End;
use crate::supervisor::fleet::Event;
use crate::supervisor::run::{Supervisor, TARGET};
use crate::supervisor::watch::NodeEvent;

impl Supervisor {
    /// Handles the events of the time without a master.
    pub(super) async fn catch_up(&mut self, news: Vec<(NodeId, NodeEvent)>) -> Option<End> {
        for (id, event) in news {
            self.members.prepare(id, &event).await;
            let Some(event) = self.hear(id, event) else { continue };
            if let Some(end) = self.deal(event).await {
                return Some(end);
            }
        }
        None
    }

    /// Continues where another program of this process left off. `Some`: the program has ended.
    pub(in crate::supervisor) async fn take_over(&mut self, inherited: InheritedLoop) -> Option<End> {
        let InheritedLoop { left, members, ended, news, reload, outputs, .. } = inherited;
        self.members.launcher.go_on_reading(outputs);
        let resumed = self.members.resume(members);
        self.members.inherit(ended);
        // The new program has read its own files. Nodes have what the program before has read.
        self.members.pass_tls();
        if let Err(error) = resumed.and_then(|()| self.members.succeed()) {
            crate::log::error!(%error, "cannot go on with a node, which drains by itself");
        }
        let pause = left.elapsed();
        let end = match self.catch_up(news).await {
            None => self.deal(Event::Late(pause)).await,
            end => end,
        };
        if let Some(reload) = reload {
            crate::log::info!(target: TARGET, "upgrade done: {reload}; the nodes had no master for {pause:.1?}");
        }
        end
    }
}
