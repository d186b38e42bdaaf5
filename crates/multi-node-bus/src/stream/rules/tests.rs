//! Two ends and what lies between them, which loses, delays, repeats and reorders what it likes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What is on its way.
#[derive(Clone, Debug)]
enum Moving {
    Frame {
        from: usize,
        frame: Frame,
    },
    /// A frame that was repeated. Nobody awaits the answer.
    Repeated {
        from: usize,
        frame: Frame,
    },
    Answer {
        to: usize,
        at: Option<u64>,
        answer: Answer,
    },
}

#[derive(Debug)]
struct End {
    stream: Stream,
    written: usize,
    writes: usize,
    read: Vec<u8>,
    told: bool,
}

#[derive(Debug)]
struct Pair {
    ends: [End; 2],
    moving: Vec<Moving>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize, usize),
    Read(usize, usize),
    Deliver(prop::sample::Index),
    Repeat(prop::sample::Index),
    Lose(prop::sample::Index),
}

fn any_step(losses: u32) -> impl Strategy<Value = Step> {
    let size = prop_oneof![1..20usize, 1..MOST_BYTES];
    prop_oneof![
        6 => (0..2usize, size.clone()).prop_map(|(end, most)| Step::Write(end, most)),
        4 => (0..2usize, size).prop_map(|(end, most)| Step::Read(end, most * 4)),
        12 => any::<prop::sample::Index>().prop_map(Step::Deliver),
        1 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        losses => any::<prop::sample::Index>().prop_map(Step::Lose),
    ]
}

/// What stands at this place of what the end writes.
fn byte(end: usize, at: usize) -> u8 {
    u8::try_from((at.wrapping_mul(2_654_435_761) >> 7) & 0xff).unwrap() ^ u8::try_from(end).unwrap()
}

fn bytes(end: usize, from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|at| byte(end, at)).collect()
}

impl Pair {
    fn new(writes: [usize; 2]) -> Pair {
        let end =
            |writes| End { stream: Stream::new(WINDOW, MOST_BYTES), written: 0, writes, read: Vec::new(), told: false };
        Pair { ends: writes.map(end), moving: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(end, most) => self.write(end, most),
            Step::Read(end, most) => self.read(end, most),
            Step::Deliver(at) if !self.moving.is_empty() => {
                let moving = self.moving.swap_remove(at.index(self.moving.len()));
                self.deliver(moving);
            }
            Step::Repeat(at) if !self.moving.is_empty() => {
                if let Moving::Frame { from, frame } = self.moving[at.index(self.moving.len())].clone() {
                    self.moving.push(Moving::Repeated { from, frame });
                }
            }
            Step::Lose(at) if !self.moving.is_empty() => {
                // Who awaits the answer finds out in the end.
                match self.moving.swap_remove(at.index(self.moving.len())) {
                    Moving::Frame { from: end, .. } | Moving::Answer { to: end, .. } => {
                        self.ends[end].stream.reset(StreamReset::Lost);
                    }
                    Moving::Repeated { .. } => {}
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, from: usize, frame: Frame) {
        self.moving.push(Moving::Frame { from, frame });
    }

    fn write(&mut self, end: usize, most: usize) {
        let End { stream, written, writes, .. } = &mut self.ends[end];
        let room = stream.may_send().min(most);
        if room == 0 {
            return;
        }
        let to = (*written + room).min(*writes);
        let frame = match *written == to {
            true => stream.finish(),
            false => stream.send(bytes(end, *written, to).into()),
        };
        *written = to;
        self.ask(end, frame);
    }

    fn read(&mut self, end: usize, most: usize) {
        let End { stream, read, .. } = &mut self.ends[end];
        let taken = stream.ready().len().min(most);
        read.extend_from_slice(&stream.ready()[..taken]);
        if let Some(frame) = stream.taken(taken) {
            self.ask(end, frame);
        }
    }

    fn deliver(&mut self, moving: Moving) {
        match moving {
            Moving::Frame { from, frame } => {
                let at = frame.begin();
                let answer = self.ends[1 - from].stream.asked(frame);
                self.moving.push(Moving::Answer { to: from, at, answer });
            }
            Moving::Repeated { from, frame } => drop(self.ends[1 - from].stream.asked(frame)),
            Moving::Answer { to, at, answer } => self.ends[to].stream.answered(at, answer),
        }
        for end in &self.ends {
            assert!(end.stream.held() as u64 <= WINDOW);
            assert!(end.stream.receiving.early.len() <= MOST_FRAMES);
        }
    }

    /// Nothing is lost from now on, and both go on until nothing moves.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            for end in 0..2 {
                self.write(end, MOST_BYTES);
                self.read(end, usize::MAX);
                if let Some(reset) = self.ends[end].stream.why()
                    && !std::mem::replace(&mut self.ends[end].told, true)
                {
                    self.moving.push(Moving::Repeated { from: end, frame: Frame::Reset(reset) });
                }
            }
            let Some(last) = self.moving.pop() else { return };
            self.deliver(last);
        }
        panic!("it hangs: {self:?}");
    }

    fn check(&self) {
        for (at, end) in self.ends.iter().enumerate() {
            let other = &self.ends[1 - at];
            assert!(end.read == bytes(1 - at, 0, end.read.len()), "wrong bytes");
            if end.stream.why().is_none() {
                assert!(end.stream.has_all() && end.stream.is_sent(), "neither whole nor reset: {self:?}");
                assert_eq!((end.read.len(), end.written), (other.writes, end.writes));
            }
        }
    }
}

fn run(writes: [usize; 2], steps: Vec<Step>) -> Pair {
    let mut pair = Pair::new(writes);
    steps.into_iter().for_each(|step| pair.step(step));
    pair.finish();
    pair.check();
    pair
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 4096 }))]

    #[test]
    fn without_a_loss_all_bytes_come_in_whatever_order_frames_come(
        writes in (0..700_000usize, 0..3000usize), steps in vec(any_step(0), 0..400),
    ) {
        let pair = run([writes.0, writes.1], steps);
        prop_assert!(pair.ends.iter().all(|end| end.stream.why().is_none()));
    }

    #[test]
    fn a_loss_shows_as_a_reset_and_no_byte_is_wrong(
        writes in (0..700_000usize, 0..3000usize), steps in vec(any_step(1), 0..400),
    ) {
        run([writes.0, writes.1], steps);
    }

    #[test]
    fn no_frames_harm_an_end(frames in vec(any_frame(), 0..60), reads in vec(0..WINDOW, 60)) {
        let mut stream = Stream::new(WINDOW, MOST_BYTES);
        for (frame, reads) in frames.into_iter().zip(reads) {
            stream.asked(frame);
            let taken = stream.ready().len().min(usize::try_from(reads).unwrap());
            stream.taken(taken);
            prop_assert!(stream.held() as u64 <= WINDOW);
        }
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let place = prop_oneof![0..100u64, 0..WINDOW * 2, any::<u64>()];
    let data = (place.clone(), prop_oneof![1..50usize, 1..MOST_BYTES]);
    prop_oneof![
        8 => data.prop_map(|(at, length)| Frame::Data { at, bytes: vec![7; length].into() }),
        1 => place.clone().prop_map(|at| Frame::End { at }),
        1 => place.prop_map(|limit| Frame::Limit { limit }),
        1 => Just(Frame::Reset(StreamReset::Dropped)),
    ]
}

#[test]
fn who_does_not_read_stops_the_other_at_the_window_and_lets_it_go_on_at_half() {
    let mut pair = Pair::new([1 << 20, 0]);
    for _ in 0..100 {
        pair.write(0, MOST_BYTES);
        while let Some(moving) = pair.moving.pop() {
            pair.deliver(moving);
        }
    }
    assert_eq!((pair.ends[0].written as u64, pair.ends[0].stream.may_send()), (WINDOW, 0));
    let half = usize::try_from(WINDOW / 2).unwrap();
    pair.read(1, half - 1);
    assert!(pair.moving.is_empty());
    pair.read(1, 1);
    let moving = pair.moving.pop().unwrap();
    pair.deliver(moving);
    assert_eq!(pair.ends[0].stream.may_send(), MOST_BYTES);
}

#[test]
fn what_has_come_whole_is_read_after_a_reset() {
    let mut stream = Stream::new(WINDOW, MOST_BYTES);
    stream.asked(Frame::Data { at: 2, bytes: Bytes::from_static(b"cd") });
    stream.asked(Frame::End { at: 4 });
    assert!(!stream.has_all());
    stream.asked(Frame::Data { at: 0, bytes: Bytes::from_static(b"ab") });
    stream.asked(Frame::Reset(StreamReset::Ended));
    assert_eq!((stream.ready(), stream.has_all(), stream.why()), (&b"abcd"[..], true, Some(StreamReset::Ended)));
    assert_eq!((stream.may_send(), stream.asked(Frame::End { at: 4 })), (0, Answer::Reset(StreamReset::Ended)));
}

#[test]
fn more_than_the_window_or_other_bytes_at_the_same_place_break_the_protocol() {
    let data = |at: u64, length: usize| Frame::Data { at, bytes: vec![7; length].into() };
    let breaks = [
        vec![data(WINDOW, 1)],
        vec![data(u64::MAX, 1)],
        vec![data(0, 4), data(2, 4)],
        vec![data(4, 4), data(6, 4)],
        vec![data(4, 4), data(0, 5)],
        vec![data(4, 4), Frame::End { at: 6 }],
        vec![Frame::End { at: 6 }, data(4, 4)],
        vec![Frame::End { at: 6 }, Frame::End { at: 7 }],
        (0..=MOST_FRAMES as u64).map(|at| data(2 + 2 * at, 1)).collect(),
    ];
    for frames in breaks {
        let mut stream = Stream::new(WINDOW, MOST_BYTES);
        let last = frames.iter().cloned().map(|frame| stream.asked(frame)).last();
        assert_eq!(last, Some(Answer::Reset(StreamReset::Protocol)), "{frames:?}");
    }
}
