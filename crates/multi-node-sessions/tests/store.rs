//! The store as tower-sessions uses it, in each version.

use multi_node_sessions::{SessionDatabase, SessionStore, Settings, unix_millis};

/// Two stores on one database, as two processes have them.
fn two_stores() -> (tempfile::TempDir, SessionStore, SessionStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || SessionDatabase::open(folder.path(), Settings::default()).expect("opened");
    let (one, other) = (SessionStore::new(open()), SessionStore::new(open()));
    (folder, one, other)
}

macro_rules! tests_of {
    ($version:ident, $tower_sessions:ident) => {
        mod $version {
            use std::sync::Arc;

            use axum::Router;
            use axum::body::Body;
            use axum::http::{Request, StatusCode, header};
            use axum::routing::get;
            use http_body_util::BodyExt;
            use tower_service::Service;
            use $tower_sessions::cookie::time::{Duration as Span, OffsetDateTime};
            use $tower_sessions::session::{Error, Id, Record};
            use $tower_sessions::{ExpiredDeletion, Expiry, Session, SessionManagerLayer, SessionStore as Store};

            use super::*;

            fn record(minutes: i64) -> Record {
                let expiry = OffsetDateTime::now_utc() + Span::minutes(minutes);
                let expiry_date = expiry.replace_nanosecond(5_000_000).expect("within a second");
                let data = [("user".to_owned(), 7.into()), ("cart".to_owned(), vec!["a", "b"].into())];
                Record { id: Id::default(), data: data.into_iter().collect(), expiry_date }
            }

            #[tokio::test]
            async fn a_record_comes_back_as_it_was_stored_in_every_process() {
                let (_folder, one, other) = two_stores();
                let mut stored = record(30);
                one.create(&mut stored).await.expect("created");
                assert_eq!(other.load(&stored.id).await.expect("loaded"), Some(stored.clone()));
                stored.data.insert("user".to_owned(), 8.into());
                other.save(&stored).await.expect("saved");
                assert_eq!(one.load(&stored.id).await.expect("loaded"), Some(stored.clone()));
                one.delete(&stored.id).await.expect("deleted");
                assert_eq!(other.load(&stored.id).await.expect("loaded"), None);
                one.delete(&stored.id).await.expect("a session that is gone can be deleted");
                assert_eq!(other.load(&Id::default()).await.expect("loaded"), None);
            }

            #[tokio::test]
            async fn the_same_id_twice_becomes_two_sessions() {
                let (_folder, one, other) = two_stores();
                let mut first = record(30);
                one.create(&mut first).await.expect("created");
                let mut second = Record { data: Default::default(), ..first.clone() };
                other.create(&mut second).await.expect("created");
                assert_ne!(first.id, second.id);
                assert_eq!(one.load(&first.id).await.expect("loaded"), Some(first));
                assert_eq!(one.load(&second.id).await.expect("loaded"), Some(second));
            }

            #[tokio::test]
            async fn a_late_save_does_not_log_in_again() {
                let (_folder, one, other) = two_stores();
                let mut stored = record(30);
                one.create(&mut stored).await.expect("created");
                other.delete(&stored.id).await.expect("deleted");
                one.save(&stored).await.expect("no failure of the request");
                assert_eq!(one.load(&stored.id).await.expect("loaded"), None);
            }

            #[tokio::test]
            async fn an_expired_record_is_absent_and_can_be_deleted() {
                let (_folder, one, _other) = two_stores();
                let mut stored = record(-1);
                one.create(&mut stored).await.expect("created");
                assert_eq!(one.load(&stored.id).await.expect("loaded"), None);
                one.delete_expired().await.expect("deleted");
                assert_eq!(one.database().sweep(10).await.expect("swept"), 0);
            }

            #[tokio::test]
            async fn bytes_that_are_no_session_are_an_error() {
                let (_folder, one, _other) = two_stores();
                let (id, in_an_hour) = (Id::default(), unix_millis() + 3_600_000);
                for bytes in [&b"not JSON"[..], b"[1]", b"", &b"[".repeat(10_000)] {
                    one.database().put(&id.0.to_be_bytes(), in_an_hour, bytes.to_vec()).await.expect("stored");
                    assert!(one.load(&id).await.is_err());
                }
                one.database().put(&id.0.to_be_bytes(), i64::MAX, b"{}".to_vec()).await.expect("stored");
                assert!(one.load(&id).await.is_err(), "no such year");
            }

            #[tokio::test]
            async fn a_session_goes_through_its_life() {
                let (_folder, one, other) = two_stores();
                let session = Session::new(None, Arc::new(one), Some(Expiry::OnInactivity(Span::hours(1))));
                session.insert("user", 7).await.expect("inserted");
                session.save().await.expect("saved");
                let first = session.id().expect("it is saved");
                let seen = Session::new(Some(first), Arc::new(other.clone()), None);
                assert_eq!(seen.get::<u32>("user").await.expect("loaded"), Some(7));
                session.cycle_id().await.expect("cycled");
                session.save().await.expect("saved");
                assert_ne!(session.id(), Some(first));
                assert_eq!(other.load(&first).await.expect("loaded"), None);
                session.flush().await.expect("flushed");
                assert_eq!(other.database().count().expect("readable"), 0);
            }

            type Answer<T> = Result<T, (StatusCode, String)>;

            fn failed(error: Error) -> (StatusCode, String) {
                (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }

            async fn log_in(session: Session) -> Answer<&'static str> {
                session.insert("user", "Ada").await.map_err(failed)?;
                Ok("welcome")
            }

            async fn who(session: Session) -> Answer<String> {
                Ok(session.get("user").await.map_err(failed)?.unwrap_or_else(|| "nobody".to_owned()))
            }

            async fn log_out(session: Session) -> Answer<&'static str> {
                session.flush().await.map_err(failed)?;
                Ok("bye")
            }

            fn app(store: SessionStore) -> Router {
                let routes = Router::new().route("/in", get(log_in)).route("/", get(who)).route("/out", get(log_out));
                routes.layer(SessionManagerLayer::new(store).with_expiry(Expiry::OnInactivity(Span::minutes(1))))
            }

            /// The answer's text, and the cookie that it sets.
            async fn ask(app: &mut Router, path: &str, cookie: &str) -> (String, Option<String>) {
                let request = Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).expect("a request");
                let response = app.call(request).await.expect("infallible");
                let cookie = response.headers().get(header::SET_COOKIE).map(|cookie| cookie.to_str().expect("text"));
                let cookie = cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                (String::from_utf8_lossy(&body).into_owned(), cookie)
            }

            #[tokio::test]
            async fn a_log_in_at_one_process_holds_at_the_other_until_the_log_out() {
                let (_folder, one, other) = two_stores();
                let (mut one, mut other) = (app(one), app(other));
                let (_, cookie) = ask(&mut one, "/in", "").await;
                let cookie = cookie.expect("a log-in sets a cookie");
                assert_eq!(ask(&mut other, "/", &cookie).await.0, "Ada");
                assert_eq!(ask(&mut other, "/", "id=AAAAAAAAAAAAAAAAAAAAAA").await.0, "nobody");
                ask(&mut other, "/out", &cookie).await;
                assert_eq!(ask(&mut one, "/", &cookie).await.0, "nobody");
            }
        }
    };
}

tests_of!(version_0_14, tower_sessions_0_14);
tests_of!(version_0_15, tower_sessions_0_15);
