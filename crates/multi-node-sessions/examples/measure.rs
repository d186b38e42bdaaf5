//! Reads and writes of several processes, and how long they take: `measure [DIRECTORY] [durable]`.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use multi_node_sessions::{Durability, SessionDatabase, Settings, unix_millis};

const PROCESSES: usize = 4;
const SESSIONS: u64 = 10_000;
const SECONDS: u64 = 5;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text: Vec<&str> = args.iter().map(String::as_str).collect();
    match text[..] {
        ["child", directory, kind, durability] => child(Path::new(directory), kind, durability),
        [] => parent(&tempfile::tempdir_in("/dev/shm")?.path().join("sessions"), "memory"),
        [directory] => parent(&tempfile::tempdir_in(directory)?.path().join("sessions"), "memory"),
        [directory, durability, ..] => parent(&tempfile::tempdir_in(directory)?.path().join("sessions"), durability),
    }
}

fn settings(durability: &str) -> Settings {
    let durability = if durability == "durable" { Durability::Durable } else { Durability::UntilShutdown };
    Settings { durability, ..Settings::default() }
}

fn id(number: u64) -> [u8; 16] {
    (u128::from(number) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

fn parent(directory: &Path, durability: &str) -> Result<(), Failure> {
    let database = SessionDatabase::open(directory, settings(durability))?;
    let writes: Vec<_> = (0..SESSIONS).map(|n| database.put(&id(n), unix_millis() + 3_600_000, vec![7; 300])).collect();
    let failed = writes.into_iter().filter_map(|write| write.wait().err()).count();
    for n in (0..SESSIONS).filter(|_| failed > 0) {
        database.put(&id(n), unix_millis() + 3_600_000, vec![7; 300]).wait()?;
    }
    for kind in ["paced", "reads", "writes1", "writes16", "mixed"] {
        run(directory, durability, kind)?;
    }
    Ok(())
}

fn run(directory: &Path, durability: &str, kind: &str) -> Result<(), Failure> {
    let start = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("child").arg(directory).args([kind, durability]).stdout(Stdio::piped()).spawn()
    };
    let children = (0..PROCESSES).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    println!("{kind}");
    for child in children {
        print!("  {}", String::from_utf8(child.wait_with_output()?.stdout)?);
    }
    let size = |name: &str| directory.join(name).metadata().map_or(0, |found| found.len() / 1024);
    println!("  database {} KiB, log {} KiB", size("sessions.db"), size("sessions.db-wal"));
    Ok(())
}

fn child(directory: &Path, kind: &str, durability: &str) -> Result<(), Failure> {
    let database = SessionDatabase::open(directory, settings(durability))?;
    let mut seen = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    let errors = match kind {
        "paced" => paced(&database, &mut seen)?,
        "writes16" => deep(&database, &mut seen)?,
        _ => one_by_one(&database, kind, &mut seen),
    };
    let at = |quantile| seen.value_at_quantile(quantile) as f64 / 1000.0;
    println!(
        "{:7}/s  p50 {:8.1} µs  p99 {:8.1}  p99.9 {:8.1}  max {:8.1}  errors {errors}",
        seen.len() / SECONDS,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    Ok(())
}

/// 500 writes a second, at random times, whether the earlier ones are done or not.
fn paced(database: &SessionDatabase, seen: &mut Histogram<u64>) -> Result<u64, Failure> {
    let (queue, done) = sync_channel(10_000);
    let waits = std::thread::spawn(move || {
        let finish = |(due, write): (Instant, multi_node_sessions::PendingWrite<bool>)| {
            let ok = write.wait().is_ok();
            (due.elapsed(), ok)
        };
        done.into_iter().map(finish).collect::<Vec<_>>()
    });
    let (begin, mut due) = (Instant::now(), Instant::now());
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        due += Duration::from_secs_f64(-fastrand::f64().max(1e-9).ln() / 500.0);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        queue.send((due, write(database)))?;
    }
    drop(queue);
    let waited = waits.join().map_err(|_| "a panic")?;
    waited.iter().for_each(|(time, _)| seen.saturating_record(time.as_nanos() as u64));
    Ok(waited.iter().filter(|(_, ok)| !ok).count() as u64)
}

fn write(database: &SessionDatabase) -> multi_node_sessions::PendingWrite<bool> {
    database.save(&id(fastrand::u64(..SESSIONS)), unix_millis() + 3_600_000, vec![8; 300])
}

fn one_by_one(database: &SessionDatabase, kind: &str, seen: &mut Histogram<u64>) -> u64 {
    let (begin, mut errors) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        let once = Instant::now();
        let ok = match kind {
            "mixed" if fastrand::u8(..10) > 0 => database.load(&id(fastrand::u64(..SESSIONS))).is_ok(),
            "reads" => database.load(&id(fastrand::u64(..SESSIONS))).is_ok_and(|found| found.is_some()),
            _ => write(database).wait().is_ok(),
        };
        errors += u64::from(!ok);
        seen.saturating_record(once.elapsed().as_nanos() as u64);
    }
    errors
}

/// Sixteen writes are under way at any time.
fn deep(database: &SessionDatabase, seen: &mut Histogram<u64>) -> Result<u64, Failure> {
    let (begin, mut errors) = (Instant::now(), 0);
    let mut waiting = std::collections::VecDeque::new();
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        waiting.push_back((Instant::now(), write(database)));
        if waiting.len() == 16 {
            let (since, write) = waiting.pop_front().ok_or("it has sixteen")?;
            errors += u64::from(write.wait().is_err());
            seen.saturating_record(since.elapsed().as_nanos() as u64);
        }
    }
    Ok(errors)
}
