//! The primary of Node.js programs: for a program that only uses `http.createServer(…).listen(…)`, the master is what
//! `node:cluster` calls its primary.
//!
//! Each node has a channel, which it finds by `NODE_CHANNEL_FD`: lines of JSON, with descriptors beside them.
//! `NODE_UNIQUE_ID` makes it a cluster worker, whose servers do not bind but ask (`queryServer`). The primary binds or maps
//! what they ask for, accepts, and passes every connection to one node, which answers whether it has taken it. If the node
//! did not take it, or died before, the next node gets the connection: its bytes are still unread.

mod accepting;
mod channel;
mod encoding;
mod ending;
mod finding;
mod first_heads;
mod frame;
mod least_loaded;
mod listeners;
mod members;
mod message;
mod moving;
mod outbox;
mod owned;
mod preload;
mod primary;
mod queue;
mod relay;
mod relaying;

pub(super) use channel::Channel;
pub(in crate::workload) use channel::LONGEST;
pub(super) use encoding::{ChannelState, PrimaryState};
pub(in crate::workload) use ending::Ending;
pub(in crate::workload) use frame::{FromProcess, read as read_frame};
pub(super) use preload::{Preload, Wanted};
pub(super) use primary::PrimaryHandle;
pub(in crate::workload) use primary::ToPrimary;
pub(in crate::workload) use queue::{Queue, Queued};
pub(in crate::workload) use relaying::OfProcess;
