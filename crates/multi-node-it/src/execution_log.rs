//! Which POST requests a program's handlers have executed: a file that all its processes append to, and how a test reads it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Path as Segments;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;

/// The most bytes of a request's body.
const LONGEST_BODY: usize = 1 << 20;

/// `/execute/{id}/{ms}/{pieces}`: answers [`answer`] after `ms`, in one piece with a `content-length` or chunked in `pieces`.
/// A POST is written down in `folder` when its handler begins and when it ends.
pub fn routes(folder: &Path) -> Router {
    let log = Arc::new(Log { path: path(folder), file: OnceLock::new() });
    let execute = move |segments, body| execute(log, segments, body);
    Router::new().route("/execute/{id}/{ms}/{pieces}", get(read).post(execute))
}

/// What the request of this id with this body is answered.
pub fn answer(id: u64, body: &[u8]) -> String {
    let sum = body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("{id} {} {sum:x}\n", body.len())
}

/// How often the handler of each request has begun and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    pub begun: u32,
    pub ended: u32,
}

/// What the processes of the program with this folder have written down.
pub fn executed(folder: &Path) -> BTreeMap<u64, Executed> {
    let mut executed: BTreeMap<u64, Executed> = BTreeMap::new();
    let text = std::fs::read_to_string(path(folder)).unwrap_or_default();
    for line in text.lines() {
        let (what, id) = line.split_once(' ').expect("a word and an id");
        let entry = executed.entry(id.parse().expect("an id")).or_default();
        match what {
            "begun" => entry.begun += 1,
            "ended" => entry.ended += 1,
            _ => panic!("{line:?} is no entry"),
        }
    }
    executed
}

fn path(folder: &Path) -> PathBuf {
    folder.join("executed")
}

struct Log {
    path: PathBuf,
    file: OnceLock<File>,
}

impl Log {
    /// One write, so that entries of several processes do not mix (write(2), `O_APPEND`).
    fn append(&self, what: &str, id: u64) {
        let open = || File::options().append(true).create(true).open(&self.path).expect("the folder is ours");
        let mut file = self.file.get_or_init(open);
        file.write_all(format!("{what} {id}\n").as_bytes()).expect("there is room");
    }
}

async fn read(Segments((id, ms, pieces)): Segments<(u64, u64, usize)>) -> Response {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    respond(answer(id, &[]), pieces)
}

async fn execute(
    log: Arc<Log>,
    Segments((id, ms, pieces)): Segments<(u64, u64, usize)>,
    body: Body,
) -> Result<Response, String> {
    log.append("begun", id);
    let body = to_bytes(body, LONGEST_BODY).await.map_err(|error| error.to_string())?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    log.append("ended", id);
    Ok(respond(answer(id, &body), pieces))
}

fn respond(answer: String, pieces: usize) -> Response {
    if pieces == 0 {
        return answer.into_response();
    }
    let size = answer.len().div_ceil(pieces);
    let pieces: Vec<_> =
        answer.as_bytes().chunks(size).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    Response::new(Body::from_stream(stream::iter(pieces)))
}
