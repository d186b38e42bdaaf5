//! Files that are damaged, of others, or in the way: always a clear error, never a store without sessions.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use multi_node_sessions::{Durability, SessionDatabase, SessionError, Settings, unix_millis};
use rusqlite::Connection;

fn durable() -> Settings {
    Settings { durability: Durability::Durable, ..Settings::default() }
}

fn in_an_hour() -> i64 {
    unix_millis() + 3_600_000
}

/// A folder with a database of this many sessions, which nobody has open.
fn folder_with(sessions: u16) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = SessionDatabase::open(folder.path(), durable()).expect("opened");
    let writes: Vec<_> = (0..sessions).map(|n| database.put(&n.to_be_bytes(), in_an_hour(), vec![7; 200])).collect();
    writes.into_iter().for_each(|write| assert!(write.wait().expect("written")));
    let path = database.path().to_owned();
    drop(database);
    until_closed(folder.path());
    (folder, path)
}

/// The last connection removes the log.
fn until_closed(folder: &Path) {
    let begin = std::time::Instant::now();
    while folder.join("sessions.db-wal").exists() {
        assert!(begin.elapsed().as_secs() < 20, "the database is not closed");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn refused(folder: &Path) -> SessionError {
    SessionDatabase::open(folder, durable()).expect_err("it is not opened")
}

#[test]
fn files_are_the_users_alone() {
    let (folder, path) = folder_with(1);
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
    let database = SessionDatabase::open(folder.path().join("made"), durable()).expect("opened");
    database.put(b"a", in_an_hour(), vec![1]).wait().expect("written");
    assert_eq!(mode(&folder.path().join("made")), 0o700);
    for entry in fs::read_dir(folder.path().join("made")).expect("a folder").flatten() {
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
    }
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let (folder, path) = folder_with(10);
    for (content, cause) in [(vec![0xaa; 8192], "file is not a database"), (Vec::new(), "it is empty")] {
        fs::write(&path, &content).expect("written");
        let error = refused(folder.path());
        assert!(matches!(error, SessionError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains(cause) && error.to_string().contains("remove it"), "{error}");
        assert_eq!(fs::read(&path).expect("there"), content, "it is left as it was");
    }
}

#[test]
fn a_truncated_file_is_refused_or_its_sessions_are_errors() {
    let (folder, path) = folder_with(500);
    let size = path.metadata().expect("there").len();
    fs::File::options().write(true).open(&path).expect("ours").set_len(size / 2 + 100).expect("truncated");
    match SessionDatabase::open(folder.path(), durable()) {
        Err(error) => assert!(matches!(error, SessionError::Corrupt { .. }), "{error:?}"),
        Ok(database) => {
            let failed = (0..500_u16).filter_map(|n| database.load(&n.to_be_bytes()).err());
            assert!(
                failed.inspect(|error| assert!(matches!(error, SessionError::Corrupt { .. }), "{error:?}")).count() > 0
            );
        }
    }
}

/// Stored bytes are hostile input: whatever they are, there is an answer.
#[test]
fn random_bytes_in_the_file_never_panic_or_hang() {
    let (folder, path) = folder_with(200);
    let whole = fs::read(&path).expect("there");
    let (mut opened, mut failed) = (0, 0);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..20) {
            let place = if random.bool() { random.usize(..bytes.len()) } else { random.usize(..100) };
            bytes[place] = random.u8(..);
        }
        fs::write(&path, bytes).expect("written");
        let Ok(database) = SessionDatabase::open(folder.path(), durable()) else {
            failed += 1;
            continue;
        };
        opened += 1;
        for n in 0..200_u16 {
            let _ = database.load(&n.to_be_bytes());
        }
        let _ = (database.count(), database.list(None), database.put(b"new", in_an_hour(), vec![1]).wait());
        let _ = (database.sweep(100).wait(), database.clear().wait());
        drop(database);
        until_closed_or_stuck(folder.path());
    }
    assert!(opened > 20 && failed > 20, "{opened} were opened, {failed} were not");
}

/// A damaged database may keep its log.
fn until_closed_or_stuck(folder: &Path) {
    let open_in = |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(folder));
    let begin = std::time::Instant::now();
    while fs::read_dir("/proc/self/fd").expect("there").flatten().any(|fd| open_in(&fd)) {
        assert!(begin.elapsed().as_secs() < 20, "the database is not closed");
        std::thread::yield_now();
    }
    for name in ["sessions.db-wal", "sessions.db-shm"] {
        let _ = fs::remove_file(folder.join(name));
    }
}

#[test]
fn a_session_that_is_longer_than_allowed_is_not_read() {
    let (folder, path) = folder_with(1);
    let connection = Connection::open(&path).expect("opened");
    let insert = "INSERT INTO sessions (id, expires, data) VALUES (x'61', 9000000000000, zeroblob(3000000))";
    connection.execute(insert, []).expect("written");
    let database = SessionDatabase::open(folder.path(), durable()).expect("opened");
    let error = database.load(b"a").expect_err("too long");
    assert!(matches!(error, SessionError::Corrupt { .. }), "{error:?}");
    assert!(database.load(&[0, 0]).expect("readable").is_some());
}

#[test]
fn another_version_and_another_program_are_refused_by_name() {
    let cases = [
        ("PRAGMA user_version = 2", "sessions of multi-node, version 2"),
        ("PRAGMA application_id = 5", "data of another program"),
        ("CREATE TABLE more (a)", "another schema"),
        ("CREATE TRIGGER t AFTER INSERT ON sessions BEGIN DELETE FROM sessions; END", "another schema"),
        ("DROP TABLE sessions", "another schema"),
    ];
    for (sql, found) in cases {
        let (folder, path) = folder_with(1);
        Connection::open(&path).expect("opened").execute_batch(sql).expect(sql);
        let error = refused(folder.path());
        assert!(matches!(error, SessionError::OtherSchema { .. }), "{error:?}");
        assert!(error.to_string().contains(found), "{error}");
    }
}

#[test]
fn files_that_others_can_open_or_replace_are_refused() {
    let (folder, path) = folder_with(1);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("ours");
    let error = refused(folder.path());
    assert!(error.to_string().contains("can be opened by other users (mode 0640)"), "{error}");
    fs::rename(&path, folder.path().join("elsewhere")).expect("renamed");
    symlink("elsewhere", &path).expect("made");
    assert!(refused(folder.path()).to_string().contains("is no plain file"));
    fs::remove_file(&path).expect("removed");
    fs::rename(folder.path().join("elsewhere"), &path).expect("renamed");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o770)).expect("ours");
    let error = refused(folder.path());
    assert!(error.to_string().contains("can be written to by other users (mode 0770)"), "{error}");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("ours");
    assert!(SessionDatabase::open(folder.path(), durable()).is_ok());
}

#[test]
fn files_of_another_user_are_refused() {
    let (folder, path) = folder_with(1);
    if chown(&path, Some(12345), None).is_err() {
        return skip("only root can give a file to another user");
    }
    let error = refused(folder.path());
    assert!(error.to_string().contains("belongs to user 12345"), "{error}");
    chown(folder.path(), Some(12345), None).expect("as root");
    let error = refused(folder.path());
    assert!(matches!(error, SessionError::NotPrivate { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let error = refused(Path::new("/nowhere/at/all"));
    assert!(error.to_string().contains("cannot make the directory /nowhere/at/all: No such file"), "{error}");
}

#[test]
fn a_database_that_is_removed_while_it_is_open_takes_no_more_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = SessionDatabase::open(folder.path(), durable()).expect("opened");
    database.put(b"a", in_an_hour(), vec![1]).wait().expect("written");
    fs::remove_file(database.path()).expect("removed");
    let error = database.put(b"b", in_an_hour(), vec![1]).wait().expect_err("refused");
    assert!(matches!(error, SessionError::Replaced { .. }), "{error:?}");
}

#[test]
fn a_log_without_its_database_is_not_taken_for_that_of_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("sessions.db-wal"), [0x37; 5000]).expect("written");
    let database = SessionDatabase::open(folder.path(), durable()).expect("opened");
    assert_eq!(database.count().expect("readable"), 0);
}

#[test]
fn what_was_kept_until_shutdown_is_gone_after_it_and_what_is_durable_stays() {
    let (folder, _) = folder_with(3);
    fs::write(folder.path().join("sessions.lock"), "another boot").expect("written");
    let count = |settings| {
        let database = SessionDatabase::open(folder.path(), settings).expect("opened");
        let count = database.count().expect("readable");
        drop(database);
        until_closed_or_stuck(folder.path());
        count
    };
    assert_eq!(count(durable()), 3);
    assert_eq!(count(Settings::default()), 0);
    let database = SessionDatabase::open(folder.path(), Settings::default()).expect("opened");
    database.put(b"a", in_an_hour(), vec![1]).wait().expect("written");
    drop(database);
    assert_eq!(count(Settings::default()), 1, "it is kept until the next boot");
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        return skip("only root can mount a small file system");
    };
    let database = SessionDatabase::open(folder.path().join("sessions"), durable()).expect("opened");
    let mut stored = 0;
    let error = loop {
        match database.create(&u32::to_be_bytes(stored), in_an_hour(), vec![1; 1000]).wait() {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 10_000, "the disk has 2 MiB");
    };
    assert!(matches!(error, SessionError::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(stored > 100, "{stored} were stored");
    for n in 0..stored {
        assert!(database.load(&n.to_be_bytes()).expect("readable").is_some(), "session {n} was acknowledged");
    }
}

/// A file system in memory of 2 MiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<SmallDisk> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| SmallDisk(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a thread of the database may still be about to close its files.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// As `multi_node_it::needs::skip`, which this crate cannot use.
fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}", thread.name().unwrap_or("a test"));
    eprintln!("skipped: {line}");
    if let Some(list) = std::env::var_os("SKIPPED") {
        let before = fs::read_to_string(&list).unwrap_or_default();
        fs::write(list, format!("{before}{line}\n")).expect("the list of skipped tests can be written");
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI no test is skipped; {line}");
}
