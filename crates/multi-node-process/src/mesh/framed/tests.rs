use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};

use super::{format::encode_step, *};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    id: u32,
    text: String,
}

fn note(id: u32, text: &str) -> Note {
    Note { id, text: text.to_owned() }
}

fn notes() -> Vec<Note> {
    vec![note(1, "first"), note(2, ""), note(70_000, "ünïcödé \u{0}")]
}

fn wire<F: Format>(messages: &[Note]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        encode_step::<F, _>(message, DEFAULT_FRAME_LIMIT, &mut bytes).expect("a note is small");
    }
    bytes
}

/// A transport that gives one chunk a read, and then the end.
pub(super) struct Chunks(pub(super) VecDeque<Vec<u8>>);

impl Chunks {
    fn new<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Chunks {
        Chunks(chunks.into_iter().map(<[u8]>::to_vec).collect())
    }
}

impl AsyncRead for Chunks {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(chunk) = self.0.pop_front() {
            assert!(out.remaining() >= chunk.len(), "a read has room for a whole chunk");
            out.put_slice(&chunk);
        }
        Poll::Ready(Ok(()))
    }
}

/// A transport that keeps each write apart.
#[derive(Default)]
struct Writes(Vec<Vec<u8>>);

impl AsyncWrite for Writes {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn reader<F: Format>(chunks: Chunks) -> FramedRead<Chunks, Note, F> {
    FramedRead::new(chunks)
}

/// Reads what `bytes` gives until an error ends it, and expects the stream to be over then.
async fn last_error<F: Format>(bytes: &[u8], limit: usize) -> (Vec<Note>, FrameError) {
    let mut reader = reader::<F>(Chunks::new([bytes])).limit(limit);
    let mut read = Vec::new();
    loop {
        match reader.recv().await {
            Ok(Some(note)) => read.push(note),
            Ok(None) => panic!("the stream ended without an error"),
            Err(error) => {
                assert!(error.ends_stream());
                assert!(matches!(reader.recv().await, Ok(None)), "nothing is read after {error}");
                return (read, error);
            }
        }
    }
}

async fn split_at_every_byte<F: Format>() {
    let bytes = wire::<F>(&notes());
    for at in 0..=bytes.len() {
        // An empty chunk would be the end of the stream.
        let (front, back) = bytes.split_at(at);
        let chunks = [front, back].into_iter().filter(|chunk| !chunk.is_empty());
        let read: Vec<Note> = reader::<F>(Chunks::new(chunks)).map(|item| item.expect("a note")).collect().await;
        assert_eq!(read, notes(), "split at {at}");
    }
    let bytewise: Vec<Note> =
        reader::<F>(Chunks::new(bytes.chunks(1))).map(|item| item.expect("a note")).collect().await;
    assert_eq!(bytewise, notes());
}

#[tokio::test]
async fn frames_split_at_every_byte() {
    split_at_every_byte::<MessagePack>().await;
    split_at_every_byte::<Json>().await;
}

async fn truncated_at_every_byte<F: Format>() {
    let first = wire::<F>(&notes()[..1]);
    let bytes = wire::<F>(&notes()[..2]);
    for at in first.len() + 1..bytes.len() {
        let (read, error) = last_error::<F>(&bytes[..at], DEFAULT_FRAME_LIMIT).await;
        assert_eq!(read, notes()[..1]);
        assert!(matches!(error, FrameError::Truncated { received } if received == at - first.len()), "{error}");
    }
}

#[tokio::test]
async fn an_end_inside_a_frame_is_truncated() {
    truncated_at_every_byte::<MessagePack>().await;
    truncated_at_every_byte::<Json>().await;
}

async fn oversize_is_refused<F: Format>(bytes: &[u8], size: usize) {
    let (read, error) = last_error::<F>(bytes, size - 1).await;
    assert!(read.is_empty());
    let FrameError::Oversize { size: seen, limit } = error else { panic!("{error}") };
    assert_eq!((seen, limit), (size, size - 1));
    let at_limit = reader::<F>(Chunks::new([bytes])).limit(size).recv().await;
    assert_eq!(at_limit.expect("a message of just the limit").as_ref(), notes().first());
}

#[tokio::test]
async fn a_receiver_refuses_what_is_over_its_limit() {
    let packed = wire::<MessagePack>(&notes()[..1]);
    oversize_is_refused::<MessagePack>(&packed, packed.len() - 6).await;
    let json = wire::<Json>(&notes()[..1]);
    oversize_is_refused::<Json>(&json, json.len() - 2).await;
    let (_, endless) = last_error::<Json>(&[&[0], &[b'1'; 100][..]].concat(), 50).await;
    assert!(matches!(endless, FrameError::Oversize { limit: 50, .. }), "{endless}");
}

async fn a_sender_goes_on_after_oversize<F: Format>() {
    let mut writer = FramedWrite::<_, Note, F>::new(Writes::default()).limit(40);
    writer.feed(note(1, "first")).await.expect("small");
    let error = writer.send(note(2, &"x".repeat(100))).await.expect_err("too large");
    assert!(matches!(error, FrameError::Oversize { limit: 40, .. }), "{error}");
    assert!(!writer.get_ref().0.iter().flatten().any(|&byte| byte == b'x'));
    writer.send(note(3, "third")).await.expect("small");
    assert_eq!(writer.get_ref().0.concat(), wire::<F>(&[note(1, "first"), note(3, "third")]));
}

#[tokio::test]
async fn a_sender_refuses_what_is_over_its_limit_and_goes_on() {
    a_sender_goes_on_after_oversize::<MessagePack>().await;
    a_sender_goes_on_after_oversize::<Json>().await;
}

#[tokio::test]
async fn foreign_bytes_are_named() {
    let (read, error) = last_error::<MessagePack>(b"GET / HTTP/1.1\r\n", 1000).await;
    assert!(read.is_empty());
    assert_eq!(
        error.to_string(),
        "expected a MessagePack frame, which begins with c1 01, but the stream goes on with 47 45 54 20 2f 20 48 54"
    );
    let between = [wire::<Json>(&notes()[..1]), b"\n\0{}\xff".to_vec()].concat();
    let (read, error) = last_error::<Json>(&between, 1000).await;
    assert_eq!(read, notes()[..1]);
    assert!(matches!(&error, FrameError::Foreign { seen, .. } if seen == "0a 00 7b 7d ff"), "{error}");
    let (_, error) = last_error::<MessagePack>(&wire::<Json>(&notes()), 1000).await;
    assert!(matches!(error, FrameError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn another_version_is_named() {
    let mut bytes = wire::<MessagePack>(&notes()[..1]);
    bytes[1] = 9;
    for seen in [&bytes[..], &bytes[..2]] {
        let (_, error) = last_error::<MessagePack>(seen, 1000).await;
        assert!(matches!(error, FrameError::Version { seen: 9, known: 1 }), "{error}");
    }
}

async fn undecodable_costs_one_message<F: Format>() {
    let mut bytes = wire::<F>(&notes()[..1]);
    encode_step::<F, _>("not a note", 1000, &mut bytes).expect("a text is small");
    bytes.extend(wire::<F>(&notes()[1..]));
    let read: Vec<_> = reader::<F>(Chunks::new([&bytes[..]])).collect().await;
    assert!(matches!(read[1], Err(FrameError::Undecodable(_))), "{read:?}");
    assert_eq!(read.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), notes());
}

#[tokio::test]
async fn the_stream_goes_on_after_an_undecodable_message() {
    undecodable_costs_one_message::<MessagePack>().await;
    undecodable_costs_one_message::<Json>().await;
    let empty = reader::<Json>(Chunks::new([&[0, 0xff][..]])).recv().await;
    assert!(matches!(empty, Err(FrameError::Undecodable(_))));
}

#[tokio::test]
async fn an_unencodable_message_sends_nothing() {
    struct Broken(bool);
    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 { Err(serde::ser::Error::custom("broken on order")) } else { serializer.serialize_str("whole") }
        }
    }
    let mut writer: FramedWrite<_, Broken> = FramedWrite::new(Writes::default());
    let error = writer.send(Broken(true)).await.expect_err("broken");
    assert_eq!(error.to_string(), "a message could not be encoded: broken on order");
    writer.send(Broken(false)).await.expect("whole");
    assert_eq!(writer.get_ref().0.concat(), b"\xc1\x01\0\0\0\x06\xa5whole");
}

#[tokio::test]
async fn fields_go_by_name_and_unknown_ones_are_skipped() {
    #[derive(Serialize)]
    struct Newer {
        added: u8,
        text: &'static str,
        id: u32,
    }
    let mut bytes = Vec::new();
    encode_step::<MessagePack, _>(&Newer { added: 1, text: "new", id: 5 }, 1000, &mut bytes).expect("small");
    let read = reader::<MessagePack>(Chunks::new([&bytes[..]])).recv().await;
    assert_eq!(read.expect("understood"), Some(note(5, "new")));
}

#[tokio::test]
async fn a_burst_is_one_write() {
    let mut writer: FramedWrite<_, Note> = FramedWrite::new(Writes::default());
    for message in notes() {
        writer.feed(message).await.expect("room");
    }
    assert!(writer.get_ref().0.is_empty(), "nothing is written before the flush");
    writer.flush().await.expect("written");
    assert_eq!(writer.get_ref().0, [wire::<MessagePack>(&notes())]);
}

#[tokio::test]
async fn a_long_burst_is_written_in_chunks() {
    let mut writer: FramedWrite<_, Note> = FramedWrite::new(Writes::default());
    let message = note(1, &"x".repeat(1000));
    for _ in 0..200 {
        writer.feed(&message).await.expect("room");
    }
    let frame = wire::<MessagePack>(&[message]).len();
    let written: Vec<usize> = writer.get_ref().0.iter().map(Vec::len).collect();
    assert_eq!(written, [CHUNK.div_ceil(frame) * frame; 3]);
}

#[tokio::test]
async fn a_writer_waits_while_nobody_reads() {
    let (ours, mut theirs) = duplex(1000);
    let mut writer: FramedWrite<_, Note> = FramedWrite::new(ours);
    let message = note(1, &"x".repeat(1000));
    let mut fed = 0;
    while let Some(done) = writer.feed(&message).now_or_never() {
        done.expect("room");
        fed += 1;
    }
    let frame = wire::<MessagePack>(std::slice::from_ref(&message)).len();
    assert_eq!(fed, CHUNK.div_ceil(frame), "one full buffer and no more");
    let mut read = Vec::new();
    let (closed, received) = tokio::join!(
        async {
            writer.send(&message).await?;
            writer.close().await
        },
        theirs.read_to_end(&mut read)
    );
    closed.expect("read by now");
    assert_eq!(received.expect("bytes"), (fed + 1) * frame);
}

#[tokio::test]
async fn a_large_frame_takes_memory_only_as_it_comes() {
    let mut announced = vec![0xc1, 1];
    announced.extend(u32::try_from(DEFAULT_FRAME_LIMIT).expect("16 MiB").to_be_bytes());
    let (ours, mut theirs) = duplex(1000);
    let mut reader: FramedRead<_, Note> = FramedRead::new(ours);
    theirs.write_all(&announced).await.expect("room");
    assert!(reader.recv().now_or_never().is_none());
    assert!(reader.capacity() <= 2 * CHUNK, "{} bytes for a header", reader.capacity());
}

#[tokio::test]
async fn memory_of_a_large_message_is_given_back() {
    let (ours, theirs) = duplex(1 << 20);
    let mut writer: FramedWrite<_, Note> = FramedWrite::new(ours);
    let mut reader: FramedRead<_, Note> = FramedRead::new(theirs);
    let large = note(1, &"x".repeat(8 << 20));
    let small = note(2, "small");
    let (sent, received) = tokio::join!(writer.send(&large), reader.recv());
    sent.expect("sent");
    assert_eq!(received.expect("read"), Some(large));
    writer.send(&small).await.expect("sent");
    assert_eq!(reader.recv().await.expect("read"), Some(small));
    assert!(reader.capacity() <= KEEP && writer.capacity() <= KEEP);
}

#[tokio::test]
async fn a_peer_that_never_pauses_leaves_time_for_others() {
    let endless = wire::<MessagePack>(&vec![note(1, "x"); 1000]);
    let flood = tokio::spawn(async move {
        let chunks = (0..1000).map(|_| &endless[..]);
        reader::<MessagePack>(Chunks::new(chunks)).fold(0, async |count, _| count + 1).await
    });
    let other = tokio::spawn(tokio::task::yield_now());
    other.await.expect("ran");
    assert!(!flood.is_finished(), "the other task ran only after a million messages");
    assert_eq!(flood.await.expect("counted"), 1_000_000);
}

#[tokio::test]
async fn sink_and_stream_in_both_directions() {
    let (ours, theirs) = duplex(1 << 16);
    let mut ours: Framed<_, String, Note> = Framed::new(ours);
    let mut theirs: Framed<_, Note, String> = Framed::new(theirs);
    ours.send_all(&mut futures_util::stream::iter(notes().into_iter().map(Ok))).await.expect("sent");
    for expected in notes() {
        assert_eq!(theirs.next().await.expect("open").expect("a note"), expected);
    }
    theirs.send("thanks".to_owned()).await.expect("sent");
    theirs.close().await.expect("closed");
    assert_eq!(ours.recv().await.expect("read").as_deref(), Some("thanks"));
    assert_eq!(ours.recv().await.expect("the end"), None);
}

#[tokio::test]
async fn split_takes_along_what_was_read_and_gathered() {
    let (ours, theirs) = duplex(1 << 16);
    let mut ours: Framed<_, Note> = Framed::new(ours);
    let mut theirs: Framed<_, Note> = Framed::new(theirs);
    ours.feed(&notes()[0]).await.expect("room");
    ours.feed(&notes()[1]).await.expect("room");
    ours.flush().await.expect("sent");
    assert_eq!(theirs.recv().await.expect("read").as_ref(), notes().first());
    theirs.feed(&notes()[2]).await.expect("room");
    let (mut reader, mut writer) = theirs.split();
    writer.flush().await.expect("sent");
    assert_eq!(reader.recv().await.expect("read ahead").as_ref(), notes().get(1));
    assert_eq!(ours.recv().await.expect("gathered before").as_ref(), notes().get(2));
}

#[tokio::test]
async fn the_form_of_2010() {
    let (ours, mut theirs) = duplex(1000);
    let mut ours: JsonFramed<_, serde_json::Value> = Framed::new(ours);
    ours.send(serde_json::json!({"hello": "ÿ"})).await.expect("sent");
    let mut bytes = vec![0; 1000];
    let read = theirs.read(&mut bytes).await.expect("bytes");
    assert_eq!(&bytes[..read], "\0{\"hello\":\"ÿ\"}".bytes().chain([0xff]).collect::<Vec<_>>());
    theirs.write_all(b"\0 [1, 2] \xff").await.expect("room");
    assert_eq!(ours.recv().await.expect("read"), Some(serde_json::json!([1, 2])));
}

#[tokio::test]
async fn a_dead_reader_is_an_error_for_the_writer() {
    let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair");
    drop(theirs);
    let error = FramedWrite::<_, Note>::new(ours).send(&notes()[0]).await.expect_err("nobody reads");
    assert!(matches!(error, FrameError::Io(ref cause) if cause.kind() == io::ErrorKind::BrokenPipe), "{error}");
}

#[test]
fn a_large_text_is_searched_once() {
    let mut scanned = 0;
    let unfinished = [0, b'1', b'2'];
    assert!(Json::find(&unfinished, 1000, &mut scanned).expect("so far so good").is_none());
    assert_eq!(scanned, unfinished.len());
    // What was searched is not looked at again: an end that comes to stand there is not seen.
    assert!(Json::find(&[0, 0xff, b'2', b'3'], 1000, &mut scanned).expect("so far so good").is_none());
}
