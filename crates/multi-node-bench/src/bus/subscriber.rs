//! A process that subscribes by a carrier of others: says `true`, and at its end what it found.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Counted, Subscriber, bare, nats, redis};
use crate::process;

/// No message lets a subscriber wait longer.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

#[derive(clap::ValueEnum, Clone, Copy)]
pub(super) enum Kind {
    /// A thread waits in `read`.
    Bare,
    /// A task waits, as in programs of the library.
    BareTokio,
    Redis,
    Nats,
}

/// Subscribes until all messages have come.
pub(crate) fn run(subscriber: &Subscriber) -> Result<()> {
    process::die_with_parent()?;
    let mut counted = Counted::new(subscriber.count);
    let ready = || println!("true");
    let take = |bytes: &[u8]| {
        counted.take(bytes);
        counted.is_complete()
    };
    let place: &Path = &subscriber.place;
    match subscriber.carrier {
        Kind::Bare => bare::subscribe(place, ready, take),
        Kind::BareTokio => bare::subscribe_in_runtime(place, ready, take),
        Kind::Redis => redis::subscribe(place, ready, take),
        Kind::Nats => nats::subscribe(&place.display().to_string(), ready, take),
    }?;
    counted.print()
}
