//! Hostile bytes for the reader of a link.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use multi_node_fleet::id::NodeId;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::yield_now;

use super::Bus;
use super::frames::Frames;
use crate::frame::{HEADER, Head, Hello, Kind, append};
use crate::limits::BusLimits;
use crate::link::{Inbound, LinkError, Outbox, halves};
use crate::members::Attached;
use crate::request::Request;
use crate::topic::Subscription;

/// Small, so that a fuzzer meets the bounds.
const MESSAGE_BYTES: usize = 256;
const ITEMS: usize = 3;

const PEER: NodeId = NodeId::MASTER;

/// Takes the bytes as those of a peer that has said hello and confirmed a subscription: once in one piece, and once cut where the
/// first byte says. Gives how many bytes were whole frames.
///
/// # Panics
///
/// When pieces make a difference, or a frame harms the process that reads it.
#[doc(hidden)]
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "cargo-fuzz enters here"))]
pub fn fuzz_link(data: &[u8]) -> usize {
    let cut = data.first().map_or(0, |first| usize::from(*first)).min(data.len());
    let whole = feed(&[data]);
    let pieces = feed(&[&data[..cut], &data[cut..]]);
    assert_eq!((pieces.0, pieces.1.is_some()), (whole.0, whole.1.is_some()), "pieces make a difference");
    whole.0
}

fn feed(pieces: &[&[u8]]) -> (usize, Option<LinkError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Without descriptors there is nothing to try.
    let Ok(runtime) = runtime else { return (0, None) };
    let _context = runtime.enter();
    let limits = BusLimits {
        message_bytes: MESSAGE_BYTES,
        topics: ITEMS,
        handlers: ITEMS,
        requests_handled: ITEMS,
        subscriber_messages: ITEMS,
        history_bytes: MESSAGE_BYTES,
        ..BusLimits::default()
    };
    let bus = Bus::new(NodeId::node(1), limits);
    let Some((mut frames, _subscription)) = open(&bus) else { return (0, None) };
    let result = read(&mut frames, pieces);
    runtime.block_on(async {
        // What the frames have started runs for a while.
        for _ in 0..ITEMS {
            yield_now().await;
        }
    });
    still_works(&runtime, &bus);
    result
}

/// A link whose peer has said hello and confirmed the subscription to `t`.
fn open(bus: &Bus) -> Option<(Frames, Subscription)> {
    bus.joined(PEER, None, true);
    bus.respond("r", |request: Request| async { Ok::<_, String>(request.payload) }).ok()?;
    let subscription = bus.topic("t").ok()?.history(ITEMS).subscribe().now();
    let (ours, _theirs) = UnixStream::pair().ok()?;
    let (_reader, writer) = halves(ours).ok()?;
    let outbox = Arc::new(Outbox::new(PEER, 1, bus.parts().limits.peer_bytes, Arc::new(writer)));
    let (_over, is_over) = watch::channel(());
    let Attached::After(_) = bus.parts().members.attach(&outbox, is_over) else { return None };
    let mut frames = Frames::new(bus.parts().clone(), outbox);
    let mut start = Vec::new();
    append(Head::new(Kind::Hello), &[&Hello::new(PEER, 1, MESSAGE_BYTES).encode()], &mut start);
    // The first topic, and the first question.
    append(Head::new(Kind::Confirmed).channel(9).seq(1), &[&1u32.to_le_bytes(), &1u64.to_le_bytes()], &mut start);
    frames.take(&start).ok()?;
    Some((frames, subscription))
}

/// Reads as the link's reader does.
fn read(frames: &mut Frames, pieces: &[&[u8]]) -> (usize, Option<LinkError>) {
    let (mut buffer, mut total) = (Vec::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        match frames.take(&buffer) {
            Ok(taken) => {
                assert!(taken <= buffer.len(), "more was taken than there was");
                total += taken;
                buffer.drain(..taken);
                assert!(buffer.len() < frames.needed(&buffer), "a whole frame was left");
            }
            Err(error) => return (0, Some(error)),
        }
    }
    assert!(buffer.len() < HEADER + MESSAGE_BYTES + crate::frame::MOST_BESIDE_PAYLOAD);
    (total, None)
}

/// The process itself can still publish and ask.
fn still_works(runtime: &Runtime, bus: &Bus) {
    let payload = crate::payload::Payload::text("x");
    assert!(bus.topic("t").is_ok_and(|topic| topic.publish(payload.clone()).is_ok()), "the topic is gone");
    let answer = runtime.block_on(async { bus.request("r", payload.clone()).to(bus.me()).await });
    let overloaded = bus.counts().requests_running >= ITEMS as u64;
    assert!(answer == Ok(payload) || overloaded, "{answer:?}");
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn any_number() -> impl Strategy<Value = u64> {
        prop_oneof![0..4u64, Just(9), Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()]
    }

    fn any_part() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any_number().prop_map(|number| number.to_le_bytes().to_vec()),
            any_number().prop_map(|number| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes().to_vec()),
            prop::sample::select(vec!["t", "r", "a", "b", "c", "d"]).prop_map(|name| name.as_bytes().to_vec()),
            prop::sample::select(vec!["t", "r"]).prop_map(|name| [&[1], name.as_bytes()].concat()),
            vec(any::<u8>(), 0..12),
        ]
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let channel = any_number().prop_map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        (1..21u8, any::<u8>(), channel, any_number(), vec(any_part(), 0..4)).prop_map(
            |(kind, flags, channel, seq, body)| {
                let mut bytes = Vec::new();
                append(Head { kind, flags, channel, seq }, &[&body.concat()], &mut bytes);
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn frames_of_any_content_do_no_harm(frames in vec(any_frame(), 0..12), more in vec(any::<u8>(), 0..40)) {
            let mut bytes = frames.concat();
            bytes.extend(more);
            fuzz_link(&bytes);
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes in vec(any::<u8>(), 0..600)) {
            fuzz_link(&bytes);
        }
    }

    #[test]
    fn whole_frames_are_taken() {
        let mut bytes = Vec::new();
        append(Head::new(Kind::Message).channel(9).seq(1), &[b"x"], &mut bytes);
        append(Head::new(Kind::Request).seq(1), &[&[0xff; 8], &[1], b"r"], &mut bytes);
        let whole = bytes.len();
        bytes.extend([0; HEADER - 1]);
        assert_eq!(fuzz_link(&bytes), whole);
    }
}
