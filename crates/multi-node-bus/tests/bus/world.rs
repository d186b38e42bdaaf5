//! A master that makes links, and a peer whose bytes the test writes itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use multi_node_bus::{Bus, BusLimits, Event, LinkWanted, Payload, Subscription};
use multi_node_fleet::id::{NodeId, Slot};
use tokio::time::{sleep, timeout};

/// The outer limit of every wait in these tests.
const LIMIT: Duration = Duration::from_secs(30);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

pub fn id(number: u64) -> NodeId {
    match number {
        0 => NodeId::MASTER,
        GATEWAY => NodeId::GATEWAY,
        number => NodeId::node(number),
    }
}

/// By this number the tests call the gateway.
pub const GATEWAY: u64 = u64::MAX;

fn slot(number: u64) -> Option<Slot> {
    u16::try_from(number).ok().map(Slot)
}

pub fn limits() -> BusLimits {
    BusLimits { link_backoff: Duration::from_millis(1), ..BusLimits::default() }
}

#[derive(Default)]
struct State {
    buses: BTreeMap<NodeId, Bus>,
    raw: BTreeMap<NodeId, Vec<UnixStream>>,
    /// By pair: the epoch, and a copy of both ends, by which the test cuts the link.
    links: BTreeMap<(NodeId, NodeId), (u64, [UnixStream; 2])>,
    /// The epochs of pairs of which one has ended: an id that comes back, as a gateway's does, goes on above them.
    retired: BTreeMap<(NodeId, NodeId), u64>,
    made: usize,
    /// Links are asked for, and not made.
    withheld: bool,
}

/// The master of the test.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<State>>);

impl World {
    /// Buses 1 to `count` that know each other.
    pub fn of(count: u64) -> (World, Vec<Bus>) {
        World::with(count, limits())
    }

    pub fn with(count: u64, limits: BusLimits) -> (World, Vec<Bus>) {
        let world = World::default();
        let buses = (1..=count).map(|number| world.add(number, limits.clone())).collect();
        (world, buses)
    }

    /// One more process. All others learn of it.
    pub fn add(&self, number: u64, limits: BusLimits) -> Bus {
        let bus = Bus::new(id(number), limits);
        let mut state = self.0.lock().unwrap();
        for (other, its) in &state.buses {
            bus.joined(*other, slot(other.number()), true);
            its.joined(id(number), slot(number), true);
        }
        for raw in state.raw.keys() {
            bus.joined(*raw, None, true);
        }
        bus.joined(id(number), slot(number), true);
        bus.members_complete();
        state.buses.insert(id(number), bus.clone());
        drop(state);
        self.forward(&bus);
        bus
    }

    fn forward(&self, bus: &Bus) {
        let (world, mut wanted, me) = (self.clone(), bus.wanted(), bus.me());
        tokio::spawn(async move {
            loop {
                world.make(me, wanted.recv().await);
            }
        });
    }

    fn make(&self, me: NodeId, wanted: LinkWanted) {
        let mut state = self.0.lock().unwrap();
        let pair = (me.min(wanted.peer), me.max(wanted.peer));
        let epoch = state.links.get(&pair).map_or(0, |link| link.0);
        if state.withheld || wanted.broken_epoch < epoch {
            return;
        }
        let retired = state.retired.get(&pair).copied().unwrap_or_default();
        let epoch = wanted.broken_epoch.max(retired) + 1;
        let (a, b) = UnixStream::pair().unwrap();
        let copies = [a.try_clone().unwrap(), b.try_clone().unwrap()];
        if !state.raw.contains_key(&wanted.peer) {
            // Of a raw peer the test alone has the end.
            state.links.insert(pair, (epoch, copies));
        }
        state.made += 1;
        state.give(pair.0, pair.1, epoch, a);
        state.give(pair.1, pair.0, epoch, b);
    }

    /// A peer that the test plays itself.
    pub fn add_raw(&self, number: u64) -> RawPeer {
        let mut state = self.0.lock().unwrap();
        state.raw.insert(id(number), Vec::new());
        state.buses.values().for_each(|bus| bus.joined(id(number), None, true));
        RawPeer { world: self.clone(), id: id(number) }
    }

    /// How many links were made so far.
    pub fn made(&self) -> usize {
        self.0.lock().unwrap().made
    }

    pub fn withhold_links(&self) {
        self.0.lock().unwrap().withheld = true;
    }

    /// Breaks the link between two living processes.
    pub fn cut(&self, a: u64, b: u64) {
        let state = self.0.lock().unwrap();
        let (_, ends) = &state.links[&(id(a.min(b)), id(a.max(b)))];
        ends.iter().for_each(|end| end.shutdown(Shutdown::Both).unwrap());
    }

    /// The process ends: its links close, and the others learn of it.
    pub fn kill(&self, number: u64) {
        let mut state = self.0.lock().unwrap();
        state.buses.remove(&id(number));
        let State { links, retired, .. } = &mut *state;
        links.retain(|pair, (epoch, ends)| {
            let stays = pair.0 != id(number) && pair.1 != id(number);
            if !stays {
                ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
                retired.insert(*pair, *epoch);
            }
            stays
        });
        state.buses.values().for_each(|bus| bus.gone(id(number)));
    }
}

impl State {
    fn give(&mut self, to: NodeId, peer: NodeId, epoch: u64, end: UnixStream) {
        if let Some(bus) = self.buses.get(&to) {
            bus.attach(peer, epoch, end).unwrap();
        } else if let Some(raw) = self.raw.get_mut(&to) {
            raw.push(end);
        }
    }
}

/// A peer whose bytes the test writes itself.
pub struct RawPeer {
    world: World,
    pub id: NodeId,
}

impl RawPeer {
    /// The next link that was made to it.
    pub async fn link(&self) -> RawLink {
        until("a link to the raw peer", || !self.world.0.lock().unwrap().raw[&self.id].is_empty()).await;
        let stream = self.world.0.lock().unwrap().raw.get_mut(&self.id).unwrap().remove(0);
        stream.set_nonblocking(true).unwrap();
        RawLink { stream, read: Vec::new(), id: self.id }
    }
}

/// A frame as the test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    pub kind: u8,
    pub flags: u8,
    pub channel: u32,
    pub seq: u64,
    pub body: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, channel: u32, seq: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(channel.to_le_bytes());
    bytes.extend(seq.to_le_bytes());
    bytes.extend(body);
    bytes
}

pub struct RawLink {
    stream: UnixStream,
    read: Vec<u8>,
    id: NodeId,
}

impl RawLink {
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.set_nonblocking(false).unwrap();
        // The other side may have closed already.
        let _ = self.stream.write_all(bytes);
        self.stream.set_nonblocking(true).unwrap();
    }

    pub fn send(&mut self, kind: u8, flags: u8, channel: u32, seq: u64, body: &[u8]) {
        self.write(&frame(kind, flags, channel, seq, body));
    }

    pub fn hello(&mut self) {
        let body = hello_body(self.id, 1, 1, 77);
        self.send(1, 0, 0, 0, &body);
    }

    /// Hello, and no subscriptions or handlers.
    pub fn open(&mut self) {
        self.hello();
        self.send(2, 0, 0, 0, &[]);
    }

    /// The next frame of this kind. Others are skipped.
    pub async fn expect(&mut self, kind: u8) -> RawFrame {
        within(&format!("a frame of kind {kind}"), async {
            loop {
                match self.next().await {
                    Some(frame) if frame.kind == kind => return frame,
                    Some(_) => {}
                    None => panic!("the link ended before a frame of kind {kind}"),
                }
            }
        })
        .await
    }

    /// The next frame, or `None` at the end.
    pub async fn next(&mut self) -> Option<RawFrame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut buffer = vec![0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.read.extend(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => sleep(Duration::from_millis(1)).await,
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self) -> Option<RawFrame> {
        let (header, rest) = self.read.split_first_chunk::<18>()?;
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let body = rest.get(..length)?.to_vec();
        let (kind, flags) = (header[4], header[5]);
        let channel = u32::from_le_bytes(header[6..10].try_into().unwrap());
        let seq = u64::from_le_bytes(header[10..].try_into().unwrap());
        self.read.drain(..18 + length);
        Some(RawFrame { kind, flags, channel, seq, body })
    }

    /// Reads to the end of the link.
    pub async fn ended(&mut self) {
        within("the end of the link", async { while self.next().await.is_some() {} }).await;
    }

    pub fn close(self) {
        drop(self.stream.shutdown(Shutdown::Both));
    }
}

pub fn hello_body(node: NodeId, oldest: u16, newest: u16, incarnation: u64) -> Vec<u8> {
    let mut body = b"mnbs".to_vec();
    body.extend(oldest.to_le_bytes());
    body.extend(newest.to_le_bytes());
    body.extend(node.number().to_le_bytes());
    body.extend(incarnation.to_le_bytes());
    body.extend((1u32 << 20).to_le_bytes());
    body
}

pub fn text(text: impl ToString) -> Payload {
    Payload::text(text.to_string())
}

pub fn message(from: u64, content: impl ToString) -> Event {
    Event::Message { from: id(from), payload: text(content) }
}

pub fn lagged(from: u64, missed: u64) -> Event {
    Event::Lagged { from: id(from), missed }
}

pub async fn next(subscription: &mut Subscription) -> Event {
    within("an event", subscription.recv()).await
}
