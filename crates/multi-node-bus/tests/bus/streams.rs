//! Streams between processes: what is written is read, and every way in which a stream ends before its time.

use multi_node_bus::{Bus, BusLimits, ByteStream, StreamReset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, id, limits, until};

async fn within<T>(future: impl Future<Output = T>) -> T {
    crate::world::within("a stream", future).await
}

/// A stream between the first two processes.
async fn pair(buses: &[Bus]) -> (ByteStream, ByteStream) {
    let mut incoming = buses[1].incoming_streams().unwrap();
    let opened = opened(buses).await;
    (opened, within(incoming.accept()).await.unwrap())
}

/// Opens a stream to the second process, once the first knows that it accepts some.
async fn opened(buses: &[Bus]) -> ByteStream {
    within(async {
        loop {
            match buses[0].open_stream(buses[1].me()).await {
                Err(StreamReset::NobodyAccepts) => tokio::task::yield_now().await,
                other => return other.unwrap(),
            }
        }
    })
    .await
}

async fn ended(stream: &mut ByteStream) -> Option<StreamReset> {
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.err().and_then(|error| StreamReset::of(&error))
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    let (_world, buses) = World::of(2);
    let (mut one, mut two) = pair(&buses).await;
    assert_eq!((one.peer(), two.peer(), one.is_local()), (id(2), id(1), true));
    one.write_all(b"question").await.unwrap();
    one.shutdown().await.unwrap();
    let mut text = String::new();
    within(two.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "question");
    two.write_all(b"answer").await.unwrap();
    drop(two);
    text.clear();
    within(one.read_to_string(&mut text)).await.unwrap();
    assert_eq!((text.as_str(), one.reset()), ("answer", None));
    drop(one);
    until("both ends are forgotten", || buses.iter().all(|bus| bus.counts().streams == 0)).await;
    assert!(buses.iter().all(|bus| bus.counts().streams_reset == 0));
}

#[tokio::test]
async fn who_does_not_accept_says_so_and_who_drops_too() {
    let (_world, buses) = World::of(3);
    assert_eq!(buses[0].open_stream(id(2)).await.unwrap_err(), StreamReset::NobodyAccepts, "it has no handler");
    let (mut one, two) = pair(&buses).await;
    drop(two);
    assert_eq!(ended(&mut one).await, None, "it has sent nothing, and is whole");
    let failed = within(async {
        loop {
            if let Err(error) = one.write_all(b"x").await {
                return StreamReset::of(&error);
            }
        }
    });
    assert_eq!(failed.await, Some(StreamReset::Dropped));
    let mut incoming = buses[1].incoming_streams().unwrap();
    let waits = opened(&buses).await;
    let mut newer = buses[1].incoming_streams().unwrap();
    assert!(incoming.accept().await.is_some() && incoming.accept().await.is_none());
    drop((incoming, waits));
    buses[0].open_stream(id(2)).await.unwrap();
    assert!(newer.accept().await.is_some());
    drop(newer);
    assert_eq!(buses[0].open_stream(id(2)).await.unwrap_err(), StreamReset::NobodyAccepts, "it accepts no more");
}

#[tokio::test]
async fn the_end_of_a_process_resets_its_streams_and_what_came_is_read() {
    let (world, buses) = World::of(2);
    let (mut one, mut two) = pair(&buses).await;
    two.write_all(b"all of it").await.unwrap();
    let mut text = [0; 9];
    within(one.read_exact(&mut text[..4])).await.unwrap();
    world.kill(2);
    within(one.read_exact(&mut text[4..])).await.unwrap();
    assert_eq!(&text, b"all of it");
    assert_eq!((ended(&mut one).await, one.reset()), (Some(StreamReset::Ended), Some(StreamReset::Ended)));
    let refused = within(buses[0].open_stream(id(2))).await.unwrap_err();
    assert!(matches!(refused, StreamReset::Ended | StreamReset::NotThere), "{refused}");
}

#[tokio::test]
async fn streams_are_bounded_and_what_is_refused_is_counted() {
    let (_world, buses) = World::with(2, BusLimits { streams: 3, ..limits() });
    let mut incoming = buses[1].incoming_streams().unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(opened(&buses).await);
    }
    assert_eq!(buses[0].open_stream(id(2)).await.unwrap_err(), StreamReset::TooMany);
    assert_eq!((buses[0].counts().streams_refused, buses[1].counts().streams), (1, 3));
    for stream in &mut streams {
        stream.shutdown().await.unwrap();
        drop(within(incoming.accept()).await.unwrap());
    }
    drop(streams);
    until("there is room again", || buses.iter().all(|bus| bus.counts().streams == 0)).await;
    buses[0].open_stream(id(2)).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_is_slow_stops_its_own_stream_alone() {
    let (_world, buses) = World::of(2);
    let mut incoming = buses[1].incoming_streams().unwrap();
    let mut slow = opened(&buses).await;
    let mut unread = within(incoming.accept()).await.unwrap();
    let written = tokio::spawn(async move {
        let all = vec![7; 4 << 20];
        slow.write_all(&all).await.unwrap();
        slow.shutdown().await.unwrap();
        slow
    });
    for _ in 0..20 {
        let mut quick = buses[0].open_stream(id(2)).await.unwrap();
        let mut other = within(incoming.accept()).await.unwrap();
        quick.write_all(&[1; 300_000]).await.unwrap();
        within(other.read_exact(&mut [0; 300_000])).await.unwrap();
    }
    assert!(!written.is_finished(), "4 MiB are more than a window");
    let mut all = Vec::new();
    within(unread.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len(), 4 << 20);
    within(written).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bytes_go_both_ways_unchanged() {
    let (_world, buses) = World::of(2);
    let (one, two) = pair(&buses).await;
    let both = [one, two].map(|stream| {
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let all: Vec<u8> = (0..8 << 20_u32).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
            let expected = all.clone();
            let writing = tokio::spawn(async move {
                writer.write_all(&all).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let mut read = Vec::new();
            reader.read_to_end(&mut read).await.unwrap();
            writing.await.unwrap();
            assert!(read == expected);
        })
    });
    for end in both {
        within(end).await.unwrap();
    }
}

#[tokio::test]
async fn who_is_said_to_have_left_loses_its_streams_at_both_ends() {
    let (_world, buses) = World::of(2);
    let (mut one, two) = pair(&buses).await;
    buses[1].left(id(1), StreamReset::MachineSilent);
    assert_eq!(ended(&mut one).await, Some(StreamReset::MachineSilent), "it is told");
    drop(two);
}
