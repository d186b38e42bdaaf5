//! The outbox: bounds, gaps, and bytes that stay in order with several writers.

use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::*;
use crate::frame::{Head, Kind, append, decode};

fn outbox(most: usize) -> (Arc<Outbox>, Arc<WriteHalf>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (_reader, writer) = halves(ours.into_std().unwrap()).unwrap();
    let writer = Arc::new(writer);
    (Arc::new(Outbox::new(NodeId::node(1), 1, most, writer.clone())), writer, theirs)
}

fn message(seq: u64, length: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    append(Head::new(Kind::Message).channel(1).seq(seq), &[&vec![0; length]], &mut frame);
    frame
}

/// Whether it is queued.
fn send(outbox: &Outbox, seq: u64, length: usize, at_once: bool) -> bool {
    outbox.messages(1, std::iter::once((seq, &*message(seq, length))), at_once) == 1
}

async fn frames(stream: &mut UnixStream, last: u64) -> Vec<(u8, u64)> {
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    let mut at = 0;
    while frames.last().is_none_or(|(_, seq)| *seq < last) {
        let read = timeout(Duration::from_secs(30), stream.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert_ne!(read, 0);
        while let Some(frame) = decode(&bytes[at..], 1 << 20).unwrap() {
            at += frame.length();
            frames.push((frame.head.kind, frame.head.seq));
        }
    }
    frames
}

#[tokio::test]
async fn what_does_not_fit_is_told_when_there_is_room() {
    let (outbox, writer, mut theirs) = outbox(1000);
    let results: Vec<bool> = (1..=12).map(|seq| send(&outbox, seq, 100, false)).collect();
    assert_eq!(results.iter().filter(|sent| **sent).count(), 8);
    tokio::spawn(write(outbox.clone(), writer));
    let mut expected: Vec<_> = (1..=8).map(|seq| (Kind::Message as u8, seq)).collect();
    expected.push((Kind::Missed as u8, 12));
    assert_eq!(frames(&mut theirs, 12).await, expected);
    assert!(!send(&outbox, 13, 2000, true), "it is full");
    assert_eq!(outbox.send_now(Head::new(Kind::Request), &[], &[0; 2000]), Err(NotSent::Full));
    assert_eq!(frames(&mut theirs, 13).await, [(Kind::Missed as u8, 13)]);
}

#[tokio::test]
async fn of_several_those_that_fit_are_sent_and_the_others_are_told() {
    let (outbox, writer, mut theirs) = outbox(1000);
    let several: Vec<_> = [(1, 100), (2, 2000), (3, 100)].map(|(seq, length)| (seq, message(seq, length))).into();
    let queued = outbox.messages(1, several.iter().map(|(seq, frame)| (*seq, &**frame)), false);
    assert_eq!(queued, 2);
    tokio::spawn(write(outbox.clone(), writer));
    let expected = [(Kind::Message as u8, 1), (Kind::Message as u8, 3), (Kind::Missed as u8, 2)];
    assert_eq!(frames(&mut theirs, 2).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn frames_stay_whole_and_in_order_whoever_writes_them() {
    let (outbox, writer, mut theirs) = outbox(16 << 20);
    tokio::spawn(write(outbox.clone(), writer));
    let sending = outbox.clone();
    std::thread::spawn(move || {
        for seq in 1..=20_000 {
            let length = usize::try_from(seq % 977).unwrap();
            if seq % 3 == 0 {
                assert!(send(&sending, seq, length, seq % 2 == 0));
            } else {
                sending.send_now(Head::new(Kind::Message).seq(seq), &[], &vec![0; length]).unwrap();
            }
        }
    });
    let read = frames(&mut theirs, 20_000).await;
    assert!(read.iter().map(|(_, seq)| *seq).eq(1..=20_000));
}

#[tokio::test]
async fn a_request_is_written_at_once() {
    let (outbox, writer, mut theirs) = outbox(1 << 20);
    // Readiness is known after the first turn of the runtime.
    writer.writable().await.unwrap();
    outbox.send_now(Head::new(Kind::Request).seq(1), b"", b"x").unwrap();
    assert_eq!(frames(&mut theirs, 1).await, [(Kind::Request as u8, 1)], "though no writer runs");
}

#[tokio::test]
async fn a_closed_outbox_takes_nothing_and_lets_waiters_go() {
    let (outbox, _writer, _theirs) = outbox(1000);
    assert!(send(&outbox, 1, 900, false));
    let waiting = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.room().await }
    });
    tokio::task::yield_now().await;
    outbox.cut();
    timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    timeout(Duration::from_secs(30), outbox.is_cut()).await.unwrap();
    assert!(!send(&outbox, 2, 1, true), "it is closed");
    assert_eq!(outbox.send_now(Head::new(Kind::Reply), &[], &[]), Err(NotSent::Closed));
}
