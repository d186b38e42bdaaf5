//! Internal to multi-node, without semver promises: topics and requests between processes, over Unix streams that somebody else
//! makes.
//!
//! A [`Bus`] knows nothing of masters and nodes. Its owner
//! - makes one per process: [`Bus::new`];
//! - tells it who takes part: [`Bus::joined`], [`Bus::gone`], [`Bus::draining`], and once [`Bus::members_complete`];
//! - forwards what [`Bus::wanted`] yields to the process that makes socket pairs, and gives both ends to [`Bus::attach`] with an epoch
//!   above the `broken_epoch` of the question. One pair per (pair of processes, epoch);
//! - awaits [`Bus::settled`] before it calls the process ready, and [`Bus::flush`] before it ends.
//!
//! The gateway to other machines is one more process. What comes from there it passes on by its [`Relay`], and subscribers find gaps
//! by the publishers' own numbers.
//!
//! A link is wanted at the first subscription or request. A process that uses neither costs no descriptor, no task, no wake-up.
//! Without peers everything works within the process.
//!
//! ```text
//! typed     values            bus       membership, links and their frames
//! topic     topics, history   request   requests, handlers
//! members   who takes part    link      a socket, its reader, writer and queue
//! stream    byte streams, made of requests
//! remote    other machines' processes
//! frame     the bytes         payload, name, limits, counts
//! ```

mod bus;
mod counts;
mod frame;
mod limits;
mod link;
mod members;
mod name;
mod payload;
mod remote;
mod request;
mod stream;
mod topic;
mod transcode;
mod typed;

#[cfg(fuzzing)]
pub use bus::fuzz_link;
pub use bus::{Bus, Relay};
pub use counts::BusCounts;
pub use frame::{FrameError, HelloError};
pub use limits::BusLimits;
pub use link::LinkError;
pub use members::{LinkWanted, PeerStatus, Wanted};
pub use name::MOST_NAME;
pub use payload::{ContentType, DecodeError, EncodeError, Encoding, Payload};
pub use remote::RemoteProcess;
pub use request::{Call, CallAll, Elsewhere, Failure, Request, RequestError, RespondError, Target};
#[cfg(fuzzing)]
pub use stream::fuzz_stream;
pub use stream::{ByteStream, IncomingStreams, StreamReset};
pub use topic::{Came, Sequences};
pub use topic::{Event, History, PublishError, Published, RawTopic, Settled, Subscribing, Subscription, TopicError};
pub use typed::{Topic, TypedCall, TypedCallAll, TypedEvent, TypedSubscribing, TypedSubscription};
