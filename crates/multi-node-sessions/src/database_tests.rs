use std::time::Duration;

use super::*;

const HOUR: i64 = 3_600_000;

fn open(settings: Settings) -> (tempfile::TempDir, SessionDatabase) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = SessionDatabase::open(folder.path(), settings).expect("opened");
    (folder, database)
}

fn in_an_hour() -> i64 {
    unix_millis() + HOUR
}

fn data(database: &SessionDatabase, id: &[u8]) -> Option<Vec<u8>> {
    database.load(id).expect("readable").map(|session| session.data)
}

#[test]
fn a_session_is_created_loaded_saved_and_deleted() {
    let (_folder, database) = open(Settings::default());
    assert_eq!(data(&database, b"a"), None);
    assert_eq!(database.create(b"a", in_an_hour(), b"one".to_vec()).wait().expect("written"), Creation::Created);
    assert_eq!(data(&database, b"a").as_deref(), Some(&b"one"[..]));
    assert!(database.save(b"a", in_an_hour(), b"two".to_vec()).wait().expect("written"));
    assert_eq!(data(&database, b"a").as_deref(), Some(&b"two"[..]));
    assert!(database.delete(b"a").wait().expect("written"));
    assert!(!database.delete(b"a").wait().expect("written"));
    assert_eq!(data(&database, b"a"), None);
}

#[test]
fn an_id_that_is_in_use_is_a_collision_and_changes_nothing() {
    let (_folder, database) = open(Settings::default());
    let create = |expires, data: &[u8]| database.create(b"a", expires, data.to_vec()).wait().expect("written");
    assert_eq!(create(in_an_hour(), b"first"), Creation::Created);
    assert_eq!(create(in_an_hour(), b"second"), Creation::Collision);
    assert_eq!(data(&database, b"a").as_deref(), Some(&b"first"[..]));
    database.put(b"a", unix_millis() - 1, b"first".to_vec()).wait().expect("written");
    assert_eq!(create(in_an_hour(), b"third"), Creation::Created, "an expired session is absent");
    assert_eq!(data(&database, b"a").as_deref(), Some(&b"third"[..]));
}

#[test]
fn a_late_save_or_touch_does_not_bring_back_a_deleted_session() {
    let (_folder, database) = open(Settings::default());
    database.create(b"a", in_an_hour(), b"one".to_vec()).wait().expect("written");
    database.delete(b"a").wait().expect("written");
    assert!(!database.save(b"a", in_an_hour(), b"late".to_vec()).wait().expect("written"));
    assert!(!database.touch(b"a", in_an_hour()).wait().expect("written"));
    assert_eq!(data(&database, b"a"), None);
}

#[test]
fn a_late_put_does_not_bring_back_a_revoked_session() {
    let (_folder, database) = open(Settings::default());
    let put = |id: &[u8], data: &[u8]| database.put(id, in_an_hour(), data.to_vec()).wait().expect("written");
    assert!(put(b"a", b"one") && put(b"a", b"two"));
    assert!(database.revoke(b"a").wait().expect("written"));
    assert!(!database.revoke(b"a").wait().expect("written"));
    assert!(!put(b"a", b"late"));
    assert_eq!((data(&database, b"a"), database.count().expect("readable")), (None, 0));
    assert_eq!(database.sweep(10).wait().expect("written"), 0, "its id stays known");
    assert!(!put(b"a", b"late"));
    assert_eq!(database.create(b"a", in_an_hour(), Vec::new()).wait().expect("written"), Creation::Created);
    database.put(b"b", unix_millis() - 1, b"expired".to_vec()).wait().expect("written");
    assert!(put(b"b", b"new"), "a session that has expired was not revoked");
}

#[test]
fn an_expired_session_is_absent_for_every_operation() {
    let (_folder, database) = open(Settings::default());
    database.put(b"a", unix_millis() - 1, b"old".to_vec()).wait().expect("written");
    database.put(b"b", in_an_hour(), b"new".to_vec()).wait().expect("written");
    assert_eq!(data(&database, b"a"), None);
    assert!(!database.save(b"a", in_an_hour(), b"late".to_vec()).wait().expect("written"));
    assert!(!database.touch(b"a", in_an_hour()).wait().expect("written"));
    assert_eq!(database.count().expect("readable"), 1);
    assert_eq!(database.list(None).expect("readable").sessions.len(), 1);
    assert_eq!(database.sweep(10).wait().expect("written"), 1);
    assert_eq!(database.sweep(10).wait().expect("written"), 0);
}

#[test]
fn a_touch_moves_the_expiry_and_is_not_written_where_it_moves_it_little() {
    let (_folder, database) = open(Settings::default());
    let (first, expiry) = (in_an_hour(), || database.load(b"a").expect("readable").expect("it is there").expires);
    database.create(b"a", first, b"one".to_vec()).wait().expect("written");
    assert!(database.touch(b"a", first + 59_999).wait().expect("done"));
    assert_eq!(expiry(), first);
    assert!(database.touch(b"a", first + 60_000).wait().expect("done"));
    assert_eq!((expiry(), data(&database, b"a")), (first + 60_000, Some(b"one".to_vec())));
    let soon = unix_millis() + 10_000;
    assert!(database.touch(b"a", soon).wait().expect("done"), "a move towards now is written");
    assert_eq!(expiry(), soon);
    assert!(database.touch(b"a", soon + 2_000).wait().expect("done"), "a fifth of what is left is written");
    assert_eq!(expiry(), soon + 2_000);
}

#[test]
fn a_list_has_every_session_once_page_by_page() {
    let (_folder, database) = open(Settings::default());
    let numbers = 0..5_u8;
    for n in numbers.clone() {
        database.create(&[n], in_an_hour(), vec![n; 600_000]).wait().expect("written");
    }
    let (mut found, mut next, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = database.list(next).expect("readable");
        found.extend(page.sessions.into_iter().map(|session| session.id[0]));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (numbers.collect(), 3));
    database.clear().wait().expect("written");
    assert_eq!(database.count().expect("readable"), 0);
}

#[test]
fn what_is_too_large_is_refused_by_name() {
    let (_folder, database) = open(Settings { max_session_bytes: 100, ..Settings::default() });
    let error = database.put(b"a", in_an_hour(), vec![0; 101]).wait().expect_err("refused");
    assert!(matches!(error, SessionError::TooLarge { bytes: 101, max_bytes: 100 }), "{error}");
    assert!(matches!(database.load(b""), Err(SessionError::Id { bytes: 0 })));
    assert!(matches!(database.load(&[1; 257]), Err(SessionError::Id { bytes: 257 })));
    assert!(matches!(database.delete(&[1; 257]).wait(), Err(SessionError::Id { .. })));
    assert!(database.touch(&[1; 256], in_an_hour()).wait().is_ok());
}

#[test]
fn a_queue_that_is_full_is_an_error_at_once() {
    let (_folder, database) = open(Settings { max_queued_writes: 1, ..Settings::default() });
    let writes: Vec<_> = (0..1000_u16).map(|n| database.put(&n.to_be_bytes(), in_an_hour(), vec![0; 1000])).collect();
    let (done, refused): (Vec<_>, Vec<_>) = writes.into_iter().map(PendingWrite::wait).partition(Result::is_ok);
    assert!(!done.is_empty() && !refused.is_empty(), "{} were done", done.len());
    assert!(refused.iter().all(|error| matches!(error, Err(SessionError::Overloaded { .. }))));
    assert_eq!(database.count().expect("readable"), done.len() as u64);
}

#[test]
fn a_full_database_removes_the_sessions_that_expire_soonest() {
    let settings = Settings { max_bytes: 512 << 10, ..Settings::default() };
    let (_folder, database) = open(settings);
    let begin = in_an_hour();
    for n in 0..3000_u16 {
        let created = database.create(&n.to_be_bytes(), begin + i64::from(n), vec![1; 400]).wait();
        assert_eq!(created.expect("room is made"), Creation::Created);
    }
    let left = database.count().expect("readable");
    assert!((500..1200).contains(&left), "{left} sessions in 512 KiB");
    let mut ids: Vec<u16> = (0..3000).filter(|n| data(&database, &u16::to_be_bytes(*n)).is_some()).collect();
    assert_eq!(ids.pop(), Some(2999));
    assert_eq!(ids.first().copied(), Some(3000 - u16::try_from(left).expect("few")), "the last ones are left");
    let size = database.path().metadata().expect("there").len();
    assert!(size <= 512 << 10, "{size} bytes");
}

#[test]
fn a_session_for_which_no_room_can_be_made_is_an_error_that_says_so() {
    let (_folder, database) = open(Settings { max_bytes: 256 << 10, ..Settings::default() });
    database.create(b"small", in_an_hour(), vec![1; 400]).wait().expect("room");
    let error = database.create(b"large", in_an_hour(), vec![1; 400_000]).wait().expect_err("no room");
    let text = error.to_string();
    assert!(text.contains("no room for a session of 400000 bytes") && text.contains("raise `max_bytes`"), "{text}");
    assert_eq!(data(&database, b"large"), None);
    database.create(b"next", in_an_hour(), vec![1; 400]).wait().expect("room");
}

#[test]
fn writes_are_futures_too_and_go_on_when_they_are_dropped() {
    let (_folder, database) = open(Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let created = runtime.block_on(database.create(b"a", in_an_hour(), Vec::new()));
    assert_eq!(created.expect("written"), Creation::Created);
    drop(database.create(b"b", in_an_hour(), Vec::new()));
    database.put(b"c", in_an_hour(), Vec::new()).wait().expect("written after it");
    assert_eq!(data(&database, b"b"), Some(Vec::new()));
}

#[test]
fn expired_sessions_are_swept_without_being_asked_for() {
    let (folder, database) = open(Settings { sweep_interval: Duration::from_millis(20), ..Settings::default() });
    for n in 0..1000_u16 {
        database.put(&n.to_be_bytes(), unix_millis() - 1, vec![0; 10]).wait().expect("written");
    }
    database.put(b"alive", in_an_hour(), vec![0; 10]).wait().expect("written");
    let rows = || {
        let connection = rusqlite::Connection::open(folder.path().join("sessions.db")).expect("opened");
        connection.query_row("SELECT count(*) FROM sessions", [], |row| row.get::<_, i64>(0)).expect("readable")
    };
    let begin = std::time::Instant::now();
    while rows() > 1 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{} rows are left", rows());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(data(&database, b"alive").is_some());
}
