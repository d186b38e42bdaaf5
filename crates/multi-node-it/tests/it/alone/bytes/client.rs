//! A client: it plays one script after the other, each on a connection of its own, and keeps account of what has come back.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use multi_node_probe::{Answer, Failure, How, Reading};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::script::{Request, Script, Step};
use super::verdict::{Account, Broken};

/// The most requests on one connection.
const MOST_REQUESTS: usize = 12;
/// How long a script may take: its own pauses and each answer's.
const PATIENCE: Duration = Duration::from_secs(40);
/// Bytes of an answer's body that are kept: more than any has.
const KEPT: usize = 1 << 10;
/// The most that is read at once.
const MOST_READ: usize = 4 << 10;

/// One client.
pub(super) struct Client {
    addr: SocketAddr,
    rng: Rng,
    next_id: u64,
    account: Account,
}

/// How a connection has ended.
enum End {
    /// Every request was answered.
    Done,
    /// The server has closed it in good order: the client may send the unanswered requests again.
    Closed,
    Failed(Failure),
}

impl Client {
    pub(super) fn new(addr: SocketAddr, seed: u64, number: u64) -> Client {
        let rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number));
        Client { addr, rng, next_id: number * 1_000_000_000, account: Account::default() }
    }

    /// Goes on until it is stopped and nothing is left to be sent again.
    pub(super) async fn converse(mut self, stop: Arc<AtomicBool>) -> Account {
        let mut again = Vec::new();
        while !again.is_empty() || !stop.load(Relaxed) {
            if again.is_empty() {
                again = self.requests();
            }
            let script = Script::random(again, &mut self.rng);
            again = self.play(script).await;
        }
        self.account
    }

    fn requests(&mut self) -> Vec<Request> {
        let count = self.rng.usize(1..=MOST_REQUESTS);
        let first = self.next_id;
        self.next_id += count as u64;
        (first..self.next_id).map(|id| Request::random(id, &mut self.rng)).collect()
    }

    /// Plays the script. Returns the requests to send again, on another connection.
    async fn play(&mut self, script: Script) -> Vec<Request> {
        let opened = Instant::now();
        let mut stream = match TcpStream::connect(self.addr).await {
            Ok(stream) => stream,
            Err(error) => {
                self.broken(&script, 0, 0, opened, Failure::new(How::Refused, error), vec![]);
                return Vec::new();
            }
        };
        stream.set_nodelay(true).expect("it is connected");
        let port = stream.local_addr().expect("it is connected").port();
        let mut connection = Connection::new(&script, opened, self.rng.fork());
        let late = Failure::new(How::TimedOut, format_args!("nothing more within {PATIENCE:?}"));
        let end = tokio::time::timeout(PATIENCE, connection.run(&mut stream)).await.unwrap_or(End::Failed(late));
        let (answered, history) = (connection.answered, connection.history());
        self.account.connections += 1;
        self.account.answered += answered as u64;
        let posts = script.requests[..answered].iter().filter(|request| request.is_post);
        self.account.answered_posts.extend(posts.map(|request| request.id));
        match end {
            End::Done => Vec::new(),
            End::Closed => {
                self.account.closed += 1;
                script.requests[answered..].to_vec()
            }
            End::Failed(failure) => {
                self.broken(&script, answered, port, opened, failure, history);
                Vec::new()
            }
        }
    }

    /// Those that were not answered may have been executed, so they are not sent again.
    fn broken(
        &mut self,
        script: &Script,
        answered: usize,
        port: u16,
        opened: Instant,
        failure: Failure,
        history: Vec<String>,
    ) {
        let unanswered = script.requests[answered..].iter().map(|request| request.id).collect();
        self.account.broken.push(Broken { port, opened, at: Instant::now(), failure, unanswered, history });
    }
}

/// A connection on which a script is played.
struct Connection<'a> {
    script: &'a Script,
    opened: Instant,
    rng: Rng,
    answered: usize,
    /// Bytes that have been written, so far.
    written: AtomicUsize,
    /// What was done and what came, with its time.
    history: std::sync::Mutex<Vec<String>>,
}

impl<'a> Connection<'a> {
    fn new(script: &'a Script, opened: Instant, rng: Rng) -> Connection<'a> {
        Connection { script, opened, rng, answered: 0, written: AtomicUsize::new(0), history: Default::default() }
    }

    async fn run(&mut self, stream: &mut TcpStream) -> End {
        let (mut reader, mut writer) = stream.split();
        let (told, answered) = watch::channel(0);
        let (script, bytes) = (self.script, self.script.bytes());
        let (mut count, mut rng) = (0, self.rng.fork());
        let end = {
            let this = &*self;
            let mut reading = pin!(this.read(&mut reader, &mut rng, &mut count, &told));
            let mut writing = pin!(this.write(&mut writer, &bytes, &script.steps, answered));
            tokio::select! {
                end = &mut reading => end,
                // A failed write reveals less than what can still be read.
                _ = &mut writing => reading.await,
            }
        };
        self.answered = count;
        end
    }

    async fn write(
        &self,
        writer: &mut WriteHalf<'_>,
        bytes: &[u8],
        steps: &[Step],
        mut answered: watch::Receiver<usize>,
    ) -> std::io::Result<()> {
        for step in steps {
            match step {
                Step::Write(range) => {
                    // Before it is written: a task that reads meanwhile must know that the requests may have been seen.
                    self.written.store(range.end, Relaxed);
                    self.note(format_args!("writes {range:?}"));
                    writer.write_all(&bytes[range.clone()]).await?;
                }
                Step::Pause(time) => tokio::time::sleep(*time).await,
                Step::Await(count) => drop(answered.wait_for(|answered| answered >= count).await),
                Step::End => {
                    self.note("shuts down its writing side");
                    writer.shutdown().await?;
                }
            }
        }
        Ok(())
    }

    /// Reads the answers, in pieces of random sizes, until all have come or the connection ends.
    async fn read(
        &self,
        reader: &mut ReadHalf<'_>,
        rng: &mut Rng,
        count: &mut usize,
        told: &watch::Sender<usize>,
    ) -> End {
        let mut piece = vec![0; MOST_READ];
        let mut bytes = 0..0;
        let mut requests = self.script.requests.iter();
        let (mut reading, mut kept) = (None, true);
        while let Some(request) = requests.next().filter(|_| kept) {
            let mut next = match reading.take() {
                None => Reading::new(request.is_head, KEPT),
                Some(reading) => Reading::next(reading, request.is_head, KEPT),
            };
            let answer = loop {
                match next.take_one(&piece[std::mem::take(&mut bytes)]) {
                    Ok(Some(answer)) => break answer,
                    Ok(None) => {}
                    Err(failure) => return End::Failed(failure),
                }
                let size = rng.usize(1..=MOST_READ);
                match reader.read(&mut piece[..size]).await {
                    Ok(0) => return self.ended(*count, next),
                    Ok(read) => bytes = 0..read,
                    Err(error) => return End::Failed(Failure::new(How::Reset, error)),
                }
            };
            if let Err(failure) = check(request, &answer) {
                return End::Failed(failure);
            }
            kept = answer.kept;
            *count += 1;
            self.note(format_args!("answer {count}, kept: {kept}"));
            told.send_replace(*count);
            reading = Some(next);
        }
        self.last(reader, reading, kept, *count).await
    }

    /// The connection has ended in good order within or before an answer.
    fn ended(&self, answered: usize, reading: Reading) -> End {
        let begun = self.script.begun_by(self.written.load(Relaxed));
        match reading.end() {
            Ok(_) => End::Failed(Failure::new(How::Wrong, "an answer without a length")),
            Err(failure) if failure.how == How::Closed && begun == answered => End::Closed,
            Err(failure) => End::Failed(failure),
        }
    }

    /// After the last answer nothing comes any more; where the server has said so, or the client has shut down, the connection ends.
    async fn last(&self, reader: &mut ReadHalf<'_>, reading: Option<Reading>, kept: bool, answered: usize) -> End {
        let more = reading.map(|reading| reading.next(false, 0).received()).unwrap_or_default();
        if more > 0 {
            return End::Failed(Failure::new(How::Wrong, format_args!("{more} bytes after the last answer")));
        }
        let is_done = answered == self.script.requests.len();
        let ends = !kept || is_done && self.script.steps.last() == Some(&Step::End);
        if !ends {
            return End::Done;
        }
        match reader.read(&mut [0]).await {
            Ok(0) if is_done => End::Done,
            Ok(0) => End::Closed,
            Ok(_) => End::Failed(Failure::new(How::Wrong, "bytes after the last answer")),
            // The answers are there, and what the client wrote behind the last of them may not have been read.
            Err(_) if !is_done => End::Closed,
            Err(error) => End::Failed(Failure::new(How::Reset, format_args!("{error}, after the last answer"))),
        }
    }

    fn note(&self, what: impl std::fmt::Display) {
        let line = format!("{:>8.3?} {what}", self.opened.elapsed());
        self.history.lock().expect("nobody panics").push(line);
    }

    fn history(self) -> Vec<String> {
        self.history.into_inner().expect("nobody panics")
    }
}

fn check(request: &Request, answer: &Answer) -> Result<(), Failure> {
    let body = if request.is_head { "" } else { request.answer.as_str() };
    if (answer.status, answer.body.as_slice()) == (200, body.as_bytes()) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer.body);
    Err(Failure::new(How::Wrong, format_args!("status {}, {text:?} in place of {body:?}", answer.status)))
}
