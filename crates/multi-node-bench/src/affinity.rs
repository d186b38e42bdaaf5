//! Affinity: what a request costs more where it is looked at, and how long one takes whose connection moves.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use multi_node::{Affinity, servers::RequestBody};

use crate::{
    process,
    rounds::in_turn,
    table::{self, Row},
    variants::{
        Server,
        multi_node::{options, serve_all},
    },
};

/// How long the nodes may take until they know each other's slots.
const LONGEST: Duration = Duration::from_secs(10);

/// Arguments of `affinity`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every measurement runs once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Requests of each measurement, one after the other on one connection.
    #[arg(long, default_value_t = 20_000)]
    requests: usize,
    /// One short round.
    #[arg(long)]
    smoke: bool,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// The server: two nodes.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// Requests have owners.
    #[arg(long)]
    affinity: bool,
}

/// Serves until the process is killed.
pub(crate) fn serve(serve: &Serve) -> Result<()> {
    process::die_with_parent()?;
    let options = options(2, 0);
    let options = if serve.affinity { options.affinity(Affinity::query("key")) } else { options };
    serve_all(options, 1, Who)
}

/// Runs all measurements, interleaved, and prints what they gave.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (rounds, requests) = if options.smoke { (1, 500) } else { (options.rounds, options.requests) };
    let plain = Server::start_as(&["affinity-serve".to_owned()], Stdio::null())?;
    let owned = Server::start_as(&["affinity-serve".to_owned(), "--affinity".to_owned()], Stdio::null())?;
    let keys = keys_of_two_nodes(owned.address())?;
    let [first, second] = keys;
    let cases = [
        ("a request without affinity", plain.address(), [first, first]),
        ("a request at its owner", owned.address(), [first, first]),
        ("a request whose connection moves", owned.address(), [first, second]),
    ];
    let mut medians = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        for &case in in_turn(&[0, 1, 2], round) {
            let (_, address, keys) = cases[case];
            medians[case].push(median(address, keys, requests)?);
        }
    }
    let named = cases.iter().zip(medians);
    let rows: Vec<Row> =
        named.filter_map(|((name, ..), medians)| Row::of(format!("{name}, p50"), "µs", medians)).collect();
    table::print_rows("measured", &rows, options.json)
}

/// Two keys that different nodes own.
fn keys_of_two_nodes(address: SocketAddr) -> Result<[usize; 2]> {
    let limit = Instant::now() + LONGEST;
    loop {
        let mut client = Client::connect(address)?;
        let first = client.ask(0)?;
        // Until the nodes know each other's slots, they answer what reaches them.
        let other = (1..20).map(|key| Ok((key, client.ask(key)?))).collect::<Result<Vec<_>>>()?;
        let other = other.into_iter().find(|(_, pid)| *pid != first);
        if let Some((key, pid)) = other
            && (0..20).all(|_| matches!((client.ask(0), client.ask(key)), (Ok(a), Ok(b)) if a == first && b == pid))
        {
            return Ok([0, key]);
        }
        anyhow::ensure!(Instant::now() < limit, "the nodes do not know each other's slots after {LONGEST:?}");
    }
}

/// The time in the middle, in microseconds, of requests that have these keys in turn.
fn median(address: SocketAddr, keys: [usize; 2], requests: usize) -> Result<f64> {
    let mut client = Client::connect(address)?;
    let mut times = Vec::with_capacity(requests);
    for number in 0..requests {
        let begun = Instant::now();
        client.ask(keys[number % 2])?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[requests / 2].as_secs_f64() * 1e6)
}

/// One kept connection.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONGEST))?;
        Ok(Client(stream))
    }

    /// The pid of the node that answers a request with this key.
    fn ask(&mut self, key: usize) -> Result<u32> {
        self.0.write_all(format!("GET /?key={key} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes())?;
        let (mut answer, mut room) = (Vec::new(), [0; 1024]);
        loop {
            let count = self.0.read(&mut room)?;
            anyhow::ensure!(count > 0, "the connection has ended");
            answer.extend_from_slice(&room[..count]);
            if let Some(body) = body(std::str::from_utf8(&answer)?) {
                return body.parse().context("a pid");
            }
        }
    }
}

/// The body of an answer, once it has come: it ends with a line.
fn body(answer: &str) -> Option<&str> {
    answer.split_once("\r\n\r\n")?.1.strip_suffix('\n')
}

/// Answers with the pid.
#[derive(Debug, Clone)]
struct Who;

impl tower_service::Service<Request<RequestBody>> for Who {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from(format!("{}\n", std::process::id()))))))
    }
}
